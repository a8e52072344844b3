#include "io/gzip_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

#include "io/atomic_file.h"
#include "io/error_of.h"
#include "io/gzip_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::io {
namespace {

using testing::error_of;
using testing::expect_error;
using testing::gzip;
using testing::TemporaryFolder;

/// Text that packs to about half, so that packed files are larger than the reader's buffer.
std::string sample_text(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (char& letter : text) {
    state = state * 1664525U + 1013904223U;
    letter = static_cast<char>('a' + (state >> 28U));
  }
  return text;
}

/// Reads a file whose stored bytes are given, in pieces of an odd size.
class GzipFileTest : public ::testing::Test {
 protected:
  std::string read(const std::string& stored) {
    write_file(path_, stored);
    GzipFile file(path_);
    std::string text;
    std::array<std::byte, 4097> piece{};
    for (;;) {
      const std::size_t count = file.read(piece);
      text.append(reinterpret_cast<const char*>(piece.data()), count);
      if (count < piece.size()) break;
    }
    hash_ = file.stored_hash();
    return text;
  }
  Error read_error(const std::string& stored) {
    return error_of([&] { read(stored); });
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("images.gz");
  std::string hash_;
};

TEST_F(GzipFileTest, UnpacksAndHashesTheFileAsStored) {
  const std::string text = sample_text(2'000'000);
  const std::string packed = gzip(text);
  ASSERT_GT(packed.size(), 600'000U);
  EXPECT_EQ(read(packed), text);
  EXPECT_EQ(hash_, hash_text(std::as_bytes(std::span(packed))));
  EXPECT_EQ(hash_file(path_), hash_);
}

TEST_F(GzipFileTest, ReadsAPlainFileAsItIs) {
  const std::string text = sample_text(10'000);
  EXPECT_EQ(read(text), text);
  EXPECT_EQ(hash_, hash_file(path_));
  const GzipFile file(path_);
  EXPECT_FALSE(file.compressed());
  EXPECT_EQ(file.most_bytes(), 10'000);
}

TEST_F(GzipFileTest, JoinsMembers) {
  EXPECT_EQ(read(gzip("one,") + gzip("") + gzip("two")), "one,two");
}

TEST_F(GzipFileTest, RefusesAFileCutOffAnywhere) {
  const std::string packed = gzip(sample_text(1000));
  for (const std::size_t size :
       {std::size_t{2}, std::size_t{9}, packed.size() / 2, packed.size() - 8, packed.size() - 1})
    expect_error(read_error(packed.substr(0, size)), ExitCode::bad_data, {path_, "cut off"});
}

TEST_F(GzipFileTest, RefusesDamage) {
  std::string packed = gzip(sample_text(1000));
  std::string damaged = packed;
  damaged[packed.size() - 8] ^= 1;  // the CRC
  expect_error(read_error(damaged), ExitCode::bad_data, {path_, "damaged", "incorrect data check"});
  damaged = packed;
  damaged[packed.size() - 1] ^= 1;  // the length
  expect_error(read_error(damaged), ExitCode::bad_data, {path_, "damaged", "incorrect length check"});
  damaged = packed;
  damaged[packed.size() / 2] ^= 16;
  EXPECT_EQ(read_error(damaged).code(), ExitCode::bad_data);
}

TEST_F(GzipFileTest, RefusesOtherBytesAfterTheEnd) {
  const std::string packed = gzip(sample_text(1000));
  expect_error(read_error(packed + "x"), ExitCode::bad_data, {path_, "other bytes after"});
  expect_error(read_error(packed + std::string(512, '\0')), ExitCode::bad_data, {path_, "other bytes after"});
  expect_error(read_error(packed + "\x1f"), ExitCode::bad_data, {path_, "cut off"});
}

TEST_F(GzipFileTest, BoundsWhatAFileCanUnpackTo) {
  const std::vector<char> zeros(10'000'000);
  const std::string packed = gzip({zeros.data(), zeros.size()});
  write_file(path_, packed);
  const GzipFile file(path_);
  EXPECT_GE(file.most_bytes(), 10'000'000);
  EXPECT_LE(file.most_bytes(), 100'000'000);
}

TEST_F(GzipFileTest, SaysWhyAFileCannotBeOpened) {
  const auto open = [](const std::string& path) { return error_of([&] { const GzipFile file(path); }); };
  expect_error(open(folder_.file("missing")), ExitCode::no_input, {"missing", "no such file"});
  expect_error(open(folder_.path().string()), ExitCode::no_input, {"it is a folder"});
  write_file(path_, "x");
  expect_error(open(path_ + "/below"), ExitCode::no_input, {"Not a directory"});
  ASSERT_EQ(::mkfifo(folder_.file("pipe").c_str(), 0600), 0);
  expect_error(open(folder_.file("pipe")), ExitCode::no_input, {"not a regular file"});
}

}  // namespace
}  // namespace lockstep::io
