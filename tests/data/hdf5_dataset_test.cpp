#include "data/hdf5_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/error_of.h"
#include "io/hdf5_array.h"
#include "io/hdf5_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::SampleArray;
using lockstep::testing::TemporaryFolder;
using lockstep::testing::write_hdf5;

constexpr std::int64_t pixels = 2 * 3 * 5;

double pixel(std::int64_t element) {
  return static_cast<double>((element / pixels * 7 + element % pixels) % 127);
}
double label_of(std::int64_t row) {
  return static_cast<double>((row * 3 + 1) % 10);
}

class Hdf5DatasetTest : public ::testing::Test {
 protected:
  void write(std::int64_t samples, hid_t type = H5T_STD_U8LE, std::vector<hsize_t> chunk = {},
             std::function<void(hid_t)> creation = {}) {
    write_hdf5(split_.file,
               {{"/train/images", type, {samples, 2, 3, 5}, pixel, std::move(chunk), std::move(creation)},
                {"/train/labels", H5T_STD_I64LE, {samples}, label_of}});
  }

  /// Checks each row that the shards own and that no other is given out.
  void expect_rows(const Dataset& dataset, const Stripes& stripes, Range shards) {
    std::vector<float> image(pixels);
    for (std::int64_t row = 0; row < stripes.samples(); ++row) {
      if (!stripes.rows(row / stripes.batch(), shards).contains(row)) {
        EXPECT_EQ(error_of([&] { dataset.gather(row, 1, image); }).code(), ExitCode::internal);
        EXPECT_EQ(error_of([&] { static_cast<void>(dataset.label(row)); }).code(), ExitCode::internal);
        continue;
      }
      dataset.gather(row, 0.25F, image);
      for (std::int64_t i = 0; i < pixels; ++i)
        ASSERT_EQ(image[static_cast<std::size_t>(i)], static_cast<float>(pixel(row * pixels + i)) * 0.25F)
            << row;
      ASSERT_EQ(dataset.label(row), label_of(row));
    }
  }

  const TemporaryFolder folder_;
  const config::Split split_{folder_.file("data.h5"), "/train/images", "/train/labels"};
};

TEST_F(Hdf5DatasetTest, KnowsTheFacts) {
  write(57, H5T_STD_I16BE);
  const DatasetInfo info = inspect_dataset(split_);
  EXPECT_EQ(info.file, split_.file);
  EXPECT_EQ(info.samples, 57);
  EXPECT_EQ(info.image, (Shape{2, 3, 5}));
  EXPECT_EQ(info.image_type, DType::i16);
  EXPECT_EQ(info.classes, 10);
  EXPECT_EQ(info.file_bytes, static_cast<std::int64_t>(std::filesystem::file_size(split_.file)));
  EXPECT_THAT(info.manifest, ::testing::MatchesRegex("/train/images xxh3-64:[0-9a-f]+\n"
                                                     "/train/labels xxh3-64:[0-9a-f]+\n"));
}

TEST_F(Hdf5DatasetTest, ReadsEveryTypeOfPixels) {
  for (const hid_t type : {H5T_STD_U8LE, H5T_STD_I8BE, H5T_STD_U16BE, H5T_STD_I16LE, H5T_STD_U32LE,
                           H5T_STD_I32BE, H5T_STD_U64BE, H5T_STD_I64LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE}) {
    write(13, type);
    const auto dataset = read_dataset(split_, inspect_dataset(split_), std::nullopt, {});
    EXPECT_EQ(dataset->rows_kept(), 13);
    expect_rows(*dataset, Stripes(13, 13, 1), {0, 1});
  }
}

TEST_F(Hdf5DatasetTest, TakesTheUsualShapes) {
  struct Example {
    Shape stored, image;
  };
  for (const Example& example : {Example{{6, 12}, {12}}, {{6, 3, 4}, {1, 3, 4}}, {{6, 2, 3, 4}, {2, 3, 4}}}) {
    for (const Shape& labels : {Shape{6}, Shape{6, 1}}) {
      write_hdf5(split_.file, {{"/train/images", H5T_IEEE_F32LE, example.stored, pixel},
                               {"/train/labels", H5T_STD_U16BE, labels, label_of}});
      const DatasetInfo info = inspect_dataset(split_);
      EXPECT_EQ(info.image, example.image);
      const auto dataset = read_dataset(split_, info, std::nullopt, {});
      EXPECT_EQ(dataset->label(5), label_of(5));
    }
  }
}

TEST_F(Hdf5DatasetTest, TakesLabelsOfEveryIntegerType) {
  for (const hid_t type : {H5T_STD_U8LE, H5T_STD_I8LE, H5T_STD_U16BE, H5T_STD_I16LE, H5T_STD_U32LE,
                           H5T_STD_I32BE, H5T_STD_U64LE, H5T_STD_I64BE}) {
    write_hdf5(split_.file,
               {{"/train/images", H5T_STD_U8LE, {20, 4}, pixel}, {"/train/labels", type, {20}, label_of}});
    const DatasetInfo info = inspect_dataset(split_);
    EXPECT_EQ(info.classes, 10);
    const auto dataset = read_dataset(split_, info, std::nullopt, {});
    for (std::int64_t row = 0; row < 20; ++row) EXPECT_EQ(dataset->label(row), label_of(row));
  }
}

TEST_F(Hdf5DatasetTest, CountsTheClassesOfTheWholeSet) {
  write_hdf5(
      split_.file,
      {{"/train/images", H5T_STD_U8LE, {40, 4}, pixel},
       {"/train/labels", H5T_STD_U8LE, {40}, [](std::int64_t row) { return row == 39 ? 200.0 : 0.0; }}});
  EXPECT_EQ(inspect_dataset(split_).classes, 201);
}

/// {samples, batch}: with and without tails, tails smaller than the shards, batches smaller than the shards.
class OnRanks : public Hdf5DatasetTest,
                public ::testing::WithParamInterface<std::pair<std::int64_t, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(Hdf5Dataset, OnRanks,
                         ::testing::Values(std::pair{128, 32}, std::pair{131, 32}, std::pair{143, 24},
                                           std::pair{29, 5}, std::pair{20, 64}, std::pair{5, 7}));

TEST_P(OnRanks, KeepsExactlyItsStripesAndReadsNoOthers) {
  const auto [samples, batch] = GetParam();
  write(samples);
  const DatasetInfo info = inspect_dataset(split_);
  const Stripes stripes(samples, batch, 8);
  for (const std::int64_t ranks : {1, 2, 3, 5, 7, 8}) {
    std::int64_t rows = 0;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const Range shards = piece(8, ranks, rank);
      ReadStatistics statistics;
      const auto dataset = read_dataset(split_, info, stripes, shards, &statistics);
      expect_rows(*dataset, stripes, shards);
      EXPECT_EQ(dataset->rows_kept(), stripes.stripe_rows(shards));
      EXPECT_EQ(dataset->bytes_kept(), dataset->rows_kept() * (pixels + 4));
      EXPECT_EQ(statistics.image_bytes_read, dataset->rows_kept() * pixels);
      rows += dataset->rows_kept();
    }
    EXPECT_EQ(rows, samples);
  }
}

TEST_P(OnRanks, ReadsTheSameFromChunks) {
  const auto [samples, batch] = GetParam();
  const Stripes stripes(samples, batch, 8);
  const auto packed = [](hid_t creation) {
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 1);
  };
  for (const hsize_t chunk : {hsize_t{1}, hsize_t{4}, static_cast<hsize_t>(samples)}) {
    write(samples, H5T_STD_I16BE, {chunk, 2, 2, 5}, packed);
    const DatasetInfo info = inspect_dataset(split_);
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      const Range shards = piece(8, 3, rank);
      ReadStatistics statistics;
      const auto dataset = read_dataset(split_, info, stripes, shards, &statistics);
      expect_rows(*dataset, stripes, shards);
      EXPECT_GE(statistics.image_bytes_read, dataset->rows_kept() * pixels * 2);
      EXPECT_LE(statistics.image_bytes_read, samples * pixels * 2);
    }
    expect_rows(*read_dataset(split_, info, std::nullopt, {}), Stripes(samples, samples, 1), {0, 1});
  }
}

/// As if the file had no other rows.
TEST_P(OnRanks, TakesAPartOfTheRows) {
  const auto [samples, batch] = GetParam();
  constexpr std::int64_t before = 13, behind = 4;
  const config::Split part{split_.file, split_.images, split_.labels, {before, before + samples}};
  const Stripes stripes(samples, batch, 8);
  for (const hsize_t chunk : {hsize_t{0}, hsize_t{4}, hsize_t{9}}) {
    write(before + samples + behind, H5T_STD_I16BE,
          chunk == 0 ? std::vector<hsize_t>{} : std::vector<hsize_t>{chunk, 2, 2, 5});
    const DatasetInfo info = inspect_dataset(part);
    EXPECT_EQ(info.samples, samples);
    EXPECT_EQ(info.rows, (Range{before, before + samples}));
    for (std::int64_t rank = 0; rank < 3; ++rank) {
      const Range shards = piece(8, 3, rank);
      const auto dataset = read_dataset(part, info, stripes, shards);
      std::vector<float> image(pixels);
      for (std::int64_t row = 0; row < samples; ++row) {
        if (!stripes.rows(row / batch, shards).contains(row)) continue;
        dataset->gather(row, 1, image);
        for (std::int64_t i = 0; i < pixels; ++i)
          ASSERT_EQ(image[static_cast<std::size_t>(i)],
                    static_cast<float>(pixel((before + row) * pixels + i)))
              << row;
        ASSERT_EQ(dataset->label(row), label_of(before + row));
      }
    }
  }
}

TEST_F(Hdf5DatasetTest, KnowsTheFactsOfAPartOfTheRows) {
  write_hdf5(split_.file, {{"/train/images", H5T_STD_U8LE, {40, 4}, pixel},
                           {"/train/labels", H5T_STD_U8LE, {40}, [](std::int64_t row) {
                              return row == 30 ? 200.0 : row < 30 ? 1.0 : 5.0;
                            }}});
  config::Split part{split_.file, split_.images, split_.labels, {0, 30}};
  EXPECT_EQ(inspect_dataset(part).classes, 2);
  part.rows = {30, 40};
  EXPECT_EQ(inspect_dataset(part).classes, 201);
  EXPECT_EQ(inspect_dataset(part).smallest_label, 5);
  EXPECT_FALSE(inspect_dataset(split_).rows.has_value());
  part.rows = {30, 41};
  const Error error = error_of([&] { inspect_dataset(part); });
  EXPECT_EQ(error.code(), ExitCode::bad_config);
  EXPECT_STREQ(error.what(),
               (split_.file + ": /train/images: it has 40 rows, but rows [30, 41) are asked for").c_str());
}

TEST_F(Hdf5DatasetTest, TwoRanksHoldHalfEach) {
  write(256);
  const DatasetInfo info = inspect_dataset(split_);
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    ReadStatistics statistics;
    const auto dataset = read_dataset(split_, info, Stripes(256, 32, 8), piece(8, 2, rank), &statistics);
    EXPECT_EQ(dataset->rows_kept(), 128);
    EXPECT_EQ(statistics.image_bytes_read, 128 * pixels);
  }
}

TEST_F(Hdf5DatasetTest, ScalesInSinglePrecision) {
  write(4);
  const auto dataset = read_dataset(split_, inspect_dataset(split_), std::nullopt, {});
  std::vector<float> image(pixels);
  constexpr auto scale = static_cast<float>(0.00392156862745098);
  dataset->gather(3, scale, image);
  for (std::int64_t i = 0; i < pixels; ++i)
    EXPECT_EQ(image[static_cast<std::size_t>(i)], static_cast<float>(pixel(3 * pixels + i)) * scale);
}

/// Of more pixels than vectors hold, and a few.
TEST_F(Hdf5DatasetTest, ScalesAllBytesOfALongRow) {
  constexpr std::int64_t height = 17, width = 59;
  const auto byte = [](std::int64_t element) { return static_cast<double>(element * 37 % 256); };
  write_hdf5(split_.file, {{"/train/images", H5T_STD_U8LE, {2, height, width}, byte},
                           {"/train/labels", H5T_STD_I64LE, {2}, label_of}});
  const auto dataset = read_dataset(split_, inspect_dataset(split_), std::nullopt, {});
  constexpr auto scale = static_cast<float>(0.00392156862745098);
  constexpr std::size_t count = height * width;
  std::vector<float> image(count + 1, -1);
  dataset->gather(1, scale, std::span(image).first(count));
  for (std::size_t i = 0; i < count; ++i)
    ASSERT_EQ(image[i], static_cast<float>(byte(height * width + static_cast<std::int64_t>(i))) * scale) << i;
  EXPECT_EQ(image[count], -1);
}

TEST_F(Hdf5DatasetTest, NoticesAFileThatChanged) {
  write(40);
  const DatasetInfo info = inspect_dataset(split_);
  write(41);
  const Error error = error_of([&] { read_dataset(split_, info, std::nullopt, {}); });
  lockstep::testing::expect_error(error, ExitCode::bad_data, {split_.file, "/train/images", "changed"});
}

/// 5.4 GB of images, of which only a few were ever written: the file system keeps no blocks for the rest.
TEST_F(Hdf5DatasetTest, ReadsBeyondFourGibibytes) {
  namespace hdf5 = io::hdf5;
  constexpr std::int64_t samples = 5200;
  constexpr std::int64_t side = 1024;
  const Shape shape{samples, 1, side, side};
  const Stripes stripes(samples, 1040, 1024);
  const Range shards{1023, 1024};  // the last row or two of each of five steps
  {
    hdf5::NewFile file(split_.file);
    file.create_group("/train");
    {
      const auto images = hdf5::create_array(file, "/train/images", DType::u8, shape);
      std::vector<std::uint8_t> image(side * side);
      for (std::int64_t step = 0; step < stripes.steps(); ++step)
        for (std::int64_t row = stripes.rows(step, shards).begin; row < stripes.rows(step, shards).end;
             ++row) {
          for (std::size_t i = 0; i < image.size(); ++i)
            image[i] = static_cast<std::uint8_t>(static_cast<std::size_t>(row) + i * 31);
          hdf5::write_rows(file, images, DType::u8, shape, {row, row + 1}, image.data());
        }
      const auto labels = hdf5::create_array(file, "/train/labels", DType::i32, {samples});
      std::vector<std::int32_t> values(samples);
      for (std::int32_t row = 0; row < samples; ++row) values[static_cast<std::size_t>(row)] = row % 11;
      hdf5::write_rows(file, labels, DType::i32, {samples}, {0, samples}, values.data());
    }
    file.commit();
  }
  const DatasetInfo info = inspect_dataset(split_);
  ASSERT_GT(info.file_bytes, std::int64_t{5} << 30);
  ReadStatistics statistics;
  const auto dataset = read_dataset(split_, info, stripes, shards, &statistics);
  EXPECT_EQ(dataset->rows_kept(), stripes.stripe_rows(shards));
  EXPECT_EQ(statistics.image_bytes_read, dataset->rows_kept() * side * side);
  std::vector<float> image(side * side);
  dataset->gather(samples - 1, 1, image);
  for (std::size_t i = 0; i < image.size(); i += 997)
    ASSERT_EQ(image[i], static_cast<std::uint8_t>(samples - 1 + i * 31));
  EXPECT_EQ(dataset->label(samples - 1), (samples - 1) % 11);
}

}  // namespace
}  // namespace lockstep::data
