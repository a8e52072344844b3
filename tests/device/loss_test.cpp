#include "device/cpu/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "device/block_harness.h"

namespace lockstep::testing {
namespace {

using config::Loss;
using device::Totals;
using device::cpu::loss_of;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

Totals cross_entropy(const std::vector<float>& outputs, std::int32_t label, std::vector<float>& gradient) {
  gradient.assign(outputs.size(), -9);
  return loss_of(Loss::softmax_cross_entropy, outputs, {&label, 1}, gradient);
}

TEST(CrossEntropy, is_what_one_computes_by_hand) {
  // Softmax of (ln 1, ln 2, ln 5) is (1/8, 2/8, 5/8).
  const std::vector<float> outputs = {0, std::log(2.0F), std::log(5.0F), 0, std::log(2.0F), std::log(5.0F)};
  const std::vector<std::int32_t> labels = {1, 2};
  std::vector<float> gradient(6);
  const Totals totals = loss_of(Loss::softmax_cross_entropy, outputs, labels, gradient);
  EXPECT_NEAR(totals.loss, -std::log(0.25) - std::log(0.625), 1e-7);
  EXPECT_EQ(totals.correct, 1);
  EXPECT_EQ(totals.samples, 2);
  const std::vector<double> expected = {0.125, -0.75, 0.625, 0.125, 0.25, -0.375};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(gradient[i], expected[i], 1e-7) << i;
}

TEST(CrossEntropy, stays_exact_for_extreme_outputs) {
  std::vector<float> gradient;
  EXPECT_EQ(cross_entropy({1e4F, -1e4F, 0}, 0, gradient).loss, 0);
  EXPECT_EQ(gradient, (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(cross_entropy({1e4F, -1e4F, 0}, 1, gradient).loss, 2e4);
  EXPECT_EQ(gradient, (std::vector<float>{1, -1, 0}));
  EXPECT_EQ(cross_entropy({-infinity, 3, -infinity}, 1, gradient).loss, 0);
  EXPECT_EQ(cross_entropy({-infinity, 3, -infinity}, 0, gradient).loss, infinity);
}

TEST(CrossEntropy, is_nan_and_wrong_with_a_nan_anywhere) {
  for (std::size_t place = 0; place < 3; ++place) {
    for (std::int32_t label = 0; label < 3; ++label) {
      std::vector<float> outputs = {1, 2, 3};
      outputs[place] = nan;
      std::vector<float> gradient;
      const Totals totals = cross_entropy(outputs, label, gradient);
      EXPECT_TRUE(std::isnan(totals.loss)) << place << " " << label;
      EXPECT_EQ(totals.correct, 0) << place << " " << label;
      for (const float value : gradient) EXPECT_TRUE(std::isnan(value));
    }
  }
  std::vector<float> gradient;
  EXPECT_FALSE(std::isfinite(cross_entropy({infinity, 1}, 0, gradient).loss));
  EXPECT_FALSE(std::isfinite(cross_entropy({infinity, 1}, 1, gradient).loss));
}

TEST(CrossEntropy, counts_the_first_of_equals) {
  std::vector<float> gradient;
  EXPECT_EQ(cross_entropy({2, 5, 5}, 1, gradient).correct, 1);
  EXPECT_EQ(cross_entropy({2, 5, 5}, 2, gradient).correct, 0);
  EXPECT_EQ(cross_entropy({2, 5, 5}, 0, gradient).correct, 0);
}

TEST(SquaredError, is_what_one_computes_by_hand) {
  const std::vector<float> outputs = {1, 3, 0, 0.5F};
  const std::vector<std::int32_t> labels = {2};
  std::vector<float> gradient(4);
  const Totals totals = loss_of(Loss::mean_squared_error, outputs, labels, gradient);
  EXPECT_DOUBLE_EQ(totals.loss, (1 + 9 + 1 + 0.25) / 4);
  EXPECT_EQ(totals.correct, 0);
  EXPECT_EQ(gradient, (std::vector<float>{0.5F, 1.5F, -0.5F, 0.25F}));
}

TEST(Loss, agrees_with_the_reference_and_needs_no_gradient) {
  constexpr std::size_t samples = 17;
  for (const Loss loss : {Loss::softmax_cross_entropy, Loss::mean_squared_error}) {
    for (const std::size_t classes : {10U, 64U, 101U}) {
      SCOPED_TRACE(classes);
      auto outputs = random_floats(static_cast<std::int64_t>(samples * classes), 4);
      for (float& value : outputs) value *= 8;
      std::vector<std::int32_t> labels(samples);
      for (std::size_t i = 0; i < samples; ++i) labels[i] = static_cast<std::int32_t>(7 * i % classes);
      std::vector<float> gradient(outputs.size());
      const Totals actual = loss_of(loss, outputs, labels, gradient);
      const auto expected = reference::loss_of(loss, to_double(outputs), labels);
      EXPECT_NEAR(actual.loss, expected.loss, 1e-13 * expected.loss);
      EXPECT_EQ(actual.correct, expected.correct);
      // One rounding to float; the softmax's own error is in doubles.
      for (std::size_t i = 0; i < gradient.size(); ++i)
        EXPECT_NEAR(gradient[i], expected.gradient[i], 0x1p-24 * std::abs(expected.gradient[i]) + 1e-14) << i;
      EXPECT_EQ(loss_of(loss, outputs, labels, {}).loss, actual.loss);
    }
  }
}

TEST(Loss, refuses_a_label_outside_the_outputs) {
  const std::vector<float> outputs(10, 0.0F);
  for (const std::int32_t label : {-1, 10}) {
    try {
      loss_of(Loss::softmax_cross_entropy, outputs, {&label, 1}, {});
      FAIL() << "accepted " << label;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_data);
      EXPECT_NE(std::string(error.what()).find(std::to_string(label)), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
