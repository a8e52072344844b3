#include "data/manifest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "data/idx_samples.h"
#include "data/import/import_idx.h"
#include "io/atomic_file.h"
#include "io/hdf5_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

using lockstep::testing::counting_bytes;
using lockstep::testing::counting_labels;
using lockstep::testing::idx;

TEST(VerifyChecksums, NoticesOneBit) {
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  io::write_file(folder.file("images"), idx(0x0B, {50, 4, 3}, counting_bytes(1200)));
  io::write_file(folder.file("labels"), idx(0x08, {50}, counting_labels(50)));
  import_idx({path, {folder.file("images"), folder.file("labels")}, std::nullopt, false});

  auto results = verify_checksums(path);
  ASSERT_EQ(results.size(), 2U);
  for (const ChecksumResult& result : results) {
    EXPECT_TRUE(result.fits()) << result.dataset;
    EXPECT_TRUE(result.expected.starts_with("xxh3-64:"));
  }

  std::string bytes;
  {
    std::ifstream stream(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  const std::size_t at = bytes.find(counting_labels(50));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 20] ^= 1;
  io::write_file(path, bytes);
  results = verify_checksums(path);
  EXPECT_EQ(results[0].dataset, "/train/images");
  EXPECT_TRUE(results[0].fits());
  EXPECT_EQ(results[1].dataset, "/train/labels");
  EXPECT_FALSE(results[1].fits());
}

/// Of /x and of a small /y that have no checksums, `changed` an element of x that is another.
std::string manifest_of(std::int64_t changed, const std::vector<hsize_t>& chunk) {
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("plain.h5");
  const auto value = [changed](std::int64_t i) {
    return static_cast<double>((i % 251) ^ (i == changed ? 1 : 0));
  };
  const auto set_deflate = [](hid_t creation) { H5Pset_deflate(creation, 1); };
  lockstep::testing::write_hdf5(path,
                                {{.name = "/x",
                                  .type = H5T_STD_U8LE,
                                  .shape = {5000, 1000},
                                  .value = value,
                                  .chunk = chunk,
                                  .creation = chunk.empty() ? std::function<void(hid_t)>() : set_deflate},
                                 {.name = "/y", .type = H5T_STD_U8LE, .shape = {5000}, .value = value}});
  const io::hdf5::File file = io::hdf5::open_file(path);
  return manifest(io::hdf5::Array(file, path, "/x"), io::hdf5::Array(file, path, "/y"));
}

TEST(Manifest, SamplesWhatHasNoChecksum) {
  const std::string plain = manifest_of(-1, {});
  EXPECT_NE(plain.find(" of 64 rows\n/y xxh3-64:"), std::string::npos) << plain;
  EXPECT_TRUE(plain.ends_with("\n") && !plain.ends_with("rows\n")) << "all of the small one";
  EXPECT_EQ(manifest_of(-1, {}), plain);
  EXPECT_NE(manifest_of(7, {}), plain) << "the first row is among them";
}

TEST(Manifest, ReadsWholeChunksOnce) {
  const std::string chunked = manifest_of(-1, {2000, 1000});
  EXPECT_NE(chunked.find(" of 5000 rows\n"), std::string::npos)
      << chunked << "three chunks are little to read";
  EXPECT_NE(manifest_of(4'999'999, {2000, 1000}), chunked);
  const std::string small_chunks = manifest_of(-1, {10, 1000});
  EXPECT_NE(small_chunks.find(" of 640 rows\n"), std::string::npos) << small_chunks;
}

TEST(VerifyChecksums, TakesFilesWithoutAny) {
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("plain.h5");
  const auto value = [](std::int64_t i) { return static_cast<double>(i); };
  lockstep::testing::write_hdf5(
      path, {{"/x", H5T_STD_U16BE, {7, 2}, value, {3, 2}}, {"/empty", H5T_STD_U8LE, {0}}});
  for (const ChecksumResult& result : verify_checksums(path)) {
    EXPECT_EQ(result.expected, "");
    EXPECT_TRUE(result.fits());
  }
}

}  // namespace
}  // namespace lockstep::data
