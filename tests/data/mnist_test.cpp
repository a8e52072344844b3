// The MNIST files that ship with the project, imported and read as an experiment would.
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "data/hdf5_dataset.h"
#include "data/import/import_idx.h"
#include "data/manifest.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

/// Bytes that this process has read from files so far.
std::int64_t bytes_read() {
  std::ifstream statistics("/proc/self/io");
  std::string key;
  std::int64_t value = 0;
  statistics >> key >> value;
  EXPECT_EQ(key, "rchar:");
  return value;
}

TEST(Mnist, IsImportedWholeAndSharedByTwoRanks) {
  const std::string source = LOCKSTEP_DATASETS "/mnist/";
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("mnist.h5");
  import_idx({path,
              {source + "train-images-idx3-ubyte.gz", source + "train-labels-idx1-ubyte.gz"},
              IdxPair{source + "t10k-images-idx3-ubyte.gz", source + "t10k-labels-idx1-ubyte.gz"},
              false});
  for (const ChecksumResult& result : verify_checksums(path)) EXPECT_TRUE(result.fits()) << result.dataset;

  const config::Split split{path, "/train/images", "/train/labels"};
  const DatasetInfo info = inspect_dataset(split);
  EXPECT_EQ(info.samples, 60'000);
  EXPECT_EQ(info.image, (Shape{1, 28, 28}));
  EXPECT_EQ(info.classes, 10);
  // XXH3-64 of the canonical files' payloads, whose MD5 sums datasets/README.md lists.
  EXPECT_EQ(info.manifest,
            "/train/images xxh3-64:ee3d62f55dfafffb\n/train/labels xxh3-64:37f227c8f4eaefa6\n");
  EXPECT_EQ(inspect_dataset({path, "/test/images", "/test/labels"}).manifest,
            "/test/images xxh3-64:6d9df6004ed35f23\n/test/labels xxh3-64:6df18589e2c6262f\n");

  const Stripes stripes(info.samples, 128, 8);
  std::int64_t rows = 0;
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    ReadStatistics statistics;
    const std::int64_t before = bytes_read();
    const auto dataset = read_dataset(split, info, stripes, piece(8, 2, rank), &statistics);
    EXPECT_EQ(dataset->rows_kept(), 30'000);
    EXPECT_EQ(statistics.image_bytes_read, 30'000 * 784);
    const std::int64_t besides = 60'000 + 100'000;  // all labels, and what describes the file
    EXPECT_LE(bytes_read() - before, 30'000 * 784 + besides);
    rows += dataset->rows_kept();
  }
  EXPECT_EQ(rows, 60'000);

  const auto whole = read_dataset(split, info, std::nullopt, {});
  std::vector<float> image(784);
  whole->gather(0, 1, image);
  EXPECT_EQ(whole->label(0), 5);
  EXPECT_EQ(std::accumulate(image.begin(), image.end(), 0.0F), 27'525);
}

}  // namespace
}  // namespace lockstep::data
