#include "data/manifest.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

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
