#include "device/cuda/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "device/cpu/loss.h"
#include "device/cuda/stream.h"
#include "device/numbers.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {
namespace {

using config::Loss;
using device::Totals;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr auto both = {Loss::softmax_cross_entropy, Loss::mean_squared_error};

struct LossResult {
  Totals totals;
  std::vector<float> gradient;
};

class CudaLoss : public ::testing::Test {
 protected:
  LossResult run(Loss loss, const std::vector<float>& outputs, const std::vector<std::int32_t>& labels,
                 bool with_gradient = true) {
    const std::int64_t samples = std::ssize(labels);
    const auto x = device_.upload(outputs);
    const auto y = device_.upload(labels);
    const auto gradient = device_->make_array<float>(std::ssize(outputs));
    const auto losses = device_->make_array<double>(samples);
    const auto correct = device_->make_array<std::int32_t>(samples);
    const auto totals = device_->make_array<Totals>(1);
    device::cuda::queue_loss(device::cuda::native(device_.stream()),
                             {.kind = loss,
                              .samples = samples,
                              .classes = std::ssize(outputs) / samples,
                              .outputs = x.span().data,
                              .labels = y.span().data,
                              .gradient = with_gradient ? gradient.span().data : nullptr,
                              .sample_losses = losses.span().data,
                              .sample_correct = correct.span().data},
                             totals.span().data);
    return {device_.download(totals)[0], with_gradient ? device_.download(gradient) : std::vector<float>()};
  }

  const StandinDevice device_;
};

TEST_F(CudaLoss, agrees_with_the_cpu_for_any_number_of_outputs_and_samples) {
  for (const Loss loss : both)
    for (const std::int64_t classes : {1, 2, 10, 33, 257, 1000})
      for (const std::int64_t samples : {1, 3, 16, 300}) {
        SCOPED_TRACE(std::to_string(classes) + " outputs, " + std::to_string(samples) + " samples");
        auto outputs = random_floats(static_cast<std::size_t>(classes * samples), 4);
        for (float& value : outputs) value *= 8;
        std::vector<std::int32_t> labels;
        for (std::int64_t i = 0; i < samples; ++i)
          labels.push_back(static_cast<std::int32_t>(7 * i % classes));
        std::vector<float> gradient(outputs.size());
        const Totals expected = device::cpu::loss_of(loss, outputs, labels, gradient);
        const LossResult actual = run(loss, outputs, labels);
        // Only the order of the sums differs, which are in doubles.
        EXPECT_NEAR(actual.totals.loss, expected.loss, 1e-13 * expected.loss);
        EXPECT_EQ(actual.totals.correct, expected.correct);
        EXPECT_EQ(actual.totals.samples, samples);
        for (std::size_t i = 0; i < gradient.size(); ++i)
          ASSERT_NEAR(actual.gradient[i], gradient[i], 0x1p-23 * std::abs(gradient[i]) + 1e-14) << i;
        EXPECT_EQ(run(loss, outputs, labels, false).totals.loss, actual.totals.loss);
      }
}

TEST_F(CudaLoss, stays_exact_for_extreme_outputs) {
  const auto entropy = [&](const std::vector<float>& outputs, std::int32_t label) {
    return run(Loss::softmax_cross_entropy, outputs, {label});
  };
  EXPECT_EQ(entropy({1e4F, -1e4F, 0}, 0).totals.loss, 0);
  EXPECT_EQ(entropy({1e4F, -1e4F, 0}, 1).totals.loss, 2e4);
  EXPECT_EQ(entropy({1e4F, -1e4F, 0}, 1).gradient, (std::vector<float>{1, -1, 0}));
  EXPECT_EQ(entropy({-infinity, 3, -infinity}, 1).totals.loss, 0);
  EXPECT_EQ(entropy({-infinity, 3, -infinity}, 0).totals.loss, infinity);
  EXPECT_FALSE(std::isfinite(entropy({infinity, 1}, 0).totals.loss));
}

TEST_F(CudaLoss, is_nan_and_wrong_with_a_nan_anywhere) {
  for (const Loss loss : both)
    for (std::size_t place = 0; place < 3; ++place)
      for (std::int32_t label = 0; label < 3; ++label) {
        std::vector<float> outputs = {1, 2, 3};
        outputs[place] = nan;
        const LossResult result = run(loss, outputs, {label});
        EXPECT_TRUE(std::isnan(result.totals.loss)) << place << " " << label;
        EXPECT_EQ(result.totals.correct, 0) << place << " " << label;
        EXPECT_TRUE(std::isnan(result.gradient[place]));
      }
}

TEST_F(CudaLoss, counts_the_first_of_equals) {
  for (const Loss loss : both) {
    EXPECT_EQ(run(loss, {2, 5, 5}, {1}).totals.correct, 1);
    EXPECT_EQ(run(loss, {2, 5, 5}, {2}).totals.correct, 0);
    EXPECT_EQ(run(loss, {2, 5, 5}, {0}).totals.correct, 0);
  }
}

TEST_F(CudaLoss, is_nan_for_a_label_outside_the_outputs) {
  for (const Loss loss : both)
    for (const std::int32_t label : {-1, 3}) {
      const LossResult result = run(loss, {1, 2, 3, 3, 2, 1}, {label, 0});
      EXPECT_TRUE(std::isnan(result.totals.loss));
      EXPECT_EQ(result.totals.correct, 1);
      for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(result.gradient[i]), i < 3) << i;
    }
}

}  // namespace
}  // namespace lockstep::testing
