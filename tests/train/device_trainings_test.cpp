#include "train/device_trainings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace lockstep::train {
namespace {

class CompareWeights : public ::testing::Test {
 protected:
  CompareWeights() {
    parameters_.declare("large", {4000});
    parameters_.declare("small", {3});
    first_.assign(static_cast<std::size_t>(parameters_.slab_size()), 1);
    wanted_.assign(first_.size(), 3);
    found_ = wanted_;
  }
  [[nodiscard]] WeightsOff compare() const { return compare_weights(parameters_, first_, wanted_, found_); }
  float& small(std::int64_t i) { return found_[static_cast<std::size_t>(parameters_[1].offset + i)]; }

  Parameters parameters_;
  std::vector<float> first_, wanted_, found_;
};

TEST_F(CompareWeights, FindsNothingBetweenEqualOnes) {
  EXPECT_EQ(compare().off, 0);
  wanted_ = first_;  // that nothing moved is no error
  found_ = wanted_;
  EXPECT_EQ(compare().off, 0);
}

TEST_F(CompareWeights, TellsASmallTensorThatIsWrong) {
  for (const std::int64_t i : {0, 1, 2}) small(i) = 1;  // as if it had not been trained
  EXPECT_DOUBLE_EQ(compare().off, 1);
  EXPECT_EQ(compare().parameter, "small");
}

TEST_F(CompareWeights, TellsTheWorst) {
  found_[7] += 0.5F;
  small(1) += 0.25F;
  EXPECT_DOUBLE_EQ(compare().off, 0.25 / (2 * std::sqrt(3.0)));
  EXPECT_EQ(compare().parameter, "small");
}

TEST_F(CompareWeights, CountsWhatShouldNotHaveMovedAsFarOff) {
  wanted_ = first_;
  EXPECT_EQ(compare().off, std::numeric_limits<double>::infinity());
}

TEST_F(CompareWeights, PassesOverNoNan) {
  found_[0] = std::numeric_limits<float>::quiet_NaN();
  small(0) = 100;
  EXPECT_TRUE(std::isnan(compare().off));
  EXPECT_EQ(compare().parameter, "large");
}

}  // namespace
}  // namespace lockstep::train
