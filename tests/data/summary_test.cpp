#include "data/summary.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "io/hdf5_samples.h"
#include "support/temporary_folder.h"

namespace lockstep::data {
namespace {

using lockstep::testing::write_hdf5;

TEST(Summary, TellsWhatIsInAFile) {
  const lockstep::testing::TemporaryFolder folder;
  const std::string path = folder.file("data.h5");
  const auto odd = [](std::int64_t i) {
    return i == 5 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(i) - 1;
  };
  write_hdf5(path,
             {{"/images", H5T_IEEE_F32BE, {4, 3}, odd},
              {"/labels", H5T_STD_I32LE, {9}, [](std::int64_t i) { return static_cast<double>(i % 3); }, {2}},
              {"/wide", H5T_STD_I32LE, {9}, [](std::int64_t i) { return static_cast<double>(i * 1000); }},
              {"/never", H5T_STD_I32LE, {9}}});
  const auto arrays = summarize(path);
  ASSERT_EQ(arrays.size(), 4U);

  EXPECT_EQ(arrays[0].name, "/images");
  EXPECT_EQ(arrays[0].shape, (Shape{4, 3}));
  EXPECT_EQ(arrays[0].type, DType::f32);
  EXPECT_EQ(arrays[0].storage, "contiguous");
  EXPECT_EQ(arrays[0].bytes, 48);
  EXPECT_EQ(arrays[0].minimum, -1);
  EXPECT_EQ(arrays[0].maximum, 10);
  EXPECT_DOUBLE_EQ(arrays[0].mean, (66.0 - 5 - 11) / 11);
  EXPECT_EQ(arrays[0].not_finite, 1);
  EXPECT_TRUE(arrays[0].class_counts.empty());

  EXPECT_EQ(arrays[1].name, "/labels");
  EXPECT_EQ(arrays[1].storage, "chunks of 2");
  EXPECT_EQ(arrays[1].class_counts, (std::vector<std::int64_t>{3, 3, 3}));

  EXPECT_EQ(arrays[2].name, "/never");
  EXPECT_NE(arrays[2].problem.find("no data were ever written"), std::string::npos);

  EXPECT_EQ(arrays[3].name, "/wide");
  EXPECT_TRUE(arrays[3].class_counts.empty());
  EXPECT_EQ(arrays[3].maximum, 8000);
}

}  // namespace
}  // namespace lockstep::data
