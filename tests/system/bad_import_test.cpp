// IDX files that cannot be imported: one message that names the file, and no output.
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>

#include "base/check.h"
#include "data/idx_samples.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

constexpr unsigned char unsigned_bytes = 0x08;

class BadImportTest : public SystemTest {
 protected:
  static constexpr std::uint32_t images = 50;

  void SetUp() override {
    write_gzip("images.gz", idx(unsigned_bytes, {images, 4, 5}, counting_bytes(images * 4 * 5)));
    write_gzip("labels.gz", idx(unsigned_bytes, {images}, counting_labels(images)));
  }

  void write_gzip(const std::string& name, const std::string& bytes) const {
    const gzFile out = gzopen(file(name).c_str(), "wb");
    check(out != nullptr && gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())) > 0 &&
              gzclose(out) == Z_OK,
          "a test can write its files");
  }

  [[nodiscard]] ProcessResult import(const Words& options = {}) const {
    Words words{"import", file("out.h5"), "--train", file("images.gz"), file("labels.gz")};
    words.insert(words.end(), options.begin(), options.end());
    return run(words);
  }
  void expect_bad(const std::vector<std::string>& parts) const {
    expect_failure(import(), ExitCode::bad_data, parts);
    EXPECT_FALSE(std::filesystem::exists(file("out.h5")));
  }
};

TEST_F(BadImportTest, TheSamplesAreGood) {
  expect_success(import());
  EXPECT_TRUE(std::filesystem::exists(file("out.h5")));
}

TEST_F(BadImportTest, MissingFile) {
  std::filesystem::remove(file("labels.gz"));
  expect_failure(import(), ExitCode::no_input, {file("labels.gz"), "no such file"});
  EXPECT_FALSE(std::filesystem::exists(file("out.h5")));
}

TEST_F(BadImportTest, EmptyFile) {
  write("images.gz", "");
  expect_bad({file("images.gz")});
}

TEST_F(BadImportTest, TruncatedGzip) {
  const std::string whole = contents(source("datasets/mnist/t10k-images-idx3-ubyte.gz"));
  write("images.gz", whole.substr(0, whole.size() * 3 / 4));
  write("labels.gz", contents(source("datasets/mnist/t10k-labels-idx1-ubyte.gz")));
  expect_bad({file("images.gz"), "cut off"});
}

TEST_F(BadImportTest, GzipThatLiesAboutItsSize) {
  std::string bytes = contents(file("images.gz"));
  ++bytes.at(bytes.size() - 4);  // the last four bytes say how much it holds
  write("images.gz", bytes);
  expect_bad({file("images.gz"), "damaged"});
}

TEST_F(BadImportTest, HeaderThatPromisesMore) {
  write_gzip("images.gz", idx(unsigned_bytes, {images + 1, 4, 5}, counting_bytes(images * 4 * 5)));
  write_gzip("labels.gz", idx(unsigned_bytes, {images + 1}, counting_labels(images + 1)));
  expect_bad({file("images.gz")});
}

TEST_F(BadImportTest, HeaderThatPromisesMoreThanAnyMemory) {
  write_gzip("images.gz", idx(unsigned_bytes, {0xffffffff, 0xffff, 0x7fff}, counting_bytes(1000)));
  expect_bad({file("images.gz")});
}

TEST_F(BadImportTest, HeaderThatPromisesLess) {
  write_gzip("images.gz", idx(unsigned_bytes, {images - 1, 4, 5}, counting_bytes(images * 4 * 5)));
  write_gzip("labels.gz", idx(unsigned_bytes, {images - 1}, counting_labels(images - 1)));
  expect_bad({file("images.gz")});
}

TEST_F(BadImportTest, FilesInTheWrongOrder) {
  std::filesystem::rename(file("images.gz"), file("other"));
  std::filesystem::rename(file("labels.gz"), file("images.gz"));
  std::filesystem::rename(file("other"), file("labels.gz"));
  expect_bad({file("images.gz"), "no images"});
}

TEST_F(BadImportTest, FewerLabelsThanImages) {
  write_gzip("labels.gz", idx(unsigned_bytes, {images - 1}, counting_labels(images - 1)));
  expect_bad({file("labels.gz"), "49 labels", "50 images"});
}

TEST_F(BadImportTest, OutputBelowAFile) {
  const std::string blocking = write("file", "");
  expect_failure(run({"import", blocking + "/out.h5", "--train", file("images.gz"), file("labels.gz")}),
                 ExitCode::cannot_create, {blocking + "/out.h5", "'" + blocking + "' is not a folder"});
}

TEST_F(BadImportTest, OutputMadeFromOtherFilesIsKept) {
  expect_success(import());
  const std::string before = contents(file("out.h5"));
  std::string labels = counting_labels(images);
  labels.back() = 3;
  write_gzip("labels.gz", idx(unsigned_bytes, {images}, labels));
  expect_failure(import(), ExitCode::cannot_create, {file("out.h5"), "other files", "--force"});
  EXPECT_TRUE(contents(file("out.h5")) == before);

  write("labels.gz", "nothing");
  const ProcessResult forced = import({"--force"});
  expect_failure(forced, ExitCode::bad_data, {file("labels.gz")});
  EXPECT_TRUE(contents(file("out.h5")) == before) << "a failed import touches nothing";
}

}  // namespace
}  // namespace lockstep::testing
