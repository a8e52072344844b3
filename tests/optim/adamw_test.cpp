#include "optim/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lockstep::optim {
namespace {

// Settings that are exact in binary. m: 0.5, 1.25, −0.875; v: 0.25, 1.1875, 3.140625;
// m̂: 1, 5/3, −1; v̂: 1, 19/7, 201/37; each step w ← w − ½ (½ w + m̂ / (√v̂ + ¼)).
TEST(AdamW, ThreeStepsByHand) {
  const config::AdamW settings = {.beta1 = 0.5, .beta2 = 0.75, .epsilon = 0.25, .weight_decay = 0.5};
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(settings, *backend, {0, 3});
  const std::vector<float> gradients = {1, 2, -3};
  const std::vector<double> expected = {0.35, -0.1766722825890369, 0.06123732350811614};
  std::vector<float> weights = {1, -1, 1};
  for (std::size_t step = 0; step < 3; ++step) {
    const float g = gradients[step];
    const std::vector<float> gradient = {g, -g, g};
    optimizer->begin_step(static_cast<std::int64_t>(step) + 1, 0.5);
    EXPECT_TRUE(optimizer->update(0, weights, gradient));
    EXPECT_NEAR(weights[0], expected[step], 2e-7) << "step " << step + 1;
    EXPECT_EQ(weights[1], -weights[0]);
    EXPECT_EQ(weights[2], weights[0]);
  }
  const auto state = optimizer->state();
  EXPECT_NEAR(state[0].values[0], -0.875, 1e-7);
  EXPECT_NEAR(state[1].values[0], 3.140625, 1e-6);
}

TEST(AdamW, FollowsItsFormulaForManySteps) {
  const config::AdamW settings = {
      .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01};
  constexpr std::size_t count = 21;
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(settings, *backend, {0, count});
  std::vector<float> weights(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = 0.1F * static_cast<float>(i) - 1;
  std::vector<double> w(weights.begin(), weights.end());
  std::vector<double> m(count, 0.0);
  std::vector<double> v(count, 0.0);
  for (int step = 1; step <= 200; ++step) {
    const double rate = 0.01 / step + 0.001;
    std::vector<float> gradient(count);
    for (std::size_t i = 0; i < count; ++i) {
      gradient[i] = static_cast<float>(std::sin(0.3 * step + static_cast<double>(i)) + 0.2);
      m[i] = 0.9 * m[i] + 0.1 * gradient[i];
      v[i] = 0.999 * v[i] + 0.001 * gradient[i] * gradient[i];
      const double m_hat = m[i] / (1 - std::pow(0.9, step));
      const double v_hat = v[i] / (1 - std::pow(0.999, step));
      w[i] -= rate * (0.01 * w[i] + m_hat / (std::sqrt(v_hat) + 1e-8));
    }
    optimizer->begin_step(step, rate);
    EXPECT_TRUE(optimizer->update(0, weights, gradient));
    for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(weights[i], w[i], 5e-6) << step << ' ' << i;
  }
}

// Adam's first step is the learning rate, whatever the gradient's size.
TEST(AdamW, FirstStepIsTheLearningRate) {
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(config::AdamW{.weight_decay = 0}, *backend, {0, 3});
  std::vector<float> weights = {0, 0, 0};
  optimizer->begin_step(1, 0.25);
  EXPECT_TRUE(optimizer->update(0, weights, std::vector<float>{1e-3F, -1.0F, 1e3F}));
  EXPECT_NEAR(weights[0], -0.25, 1e-5);
  EXPECT_NEAR(weights[1], 0.25, 1e-6);
  EXPECT_NEAR(weights[2], -0.25, 1e-6);
}

// Decoupled: the decay does not pass through the moments.
TEST(AdamW, DecayShrinksWeightsWithoutAGradient) {
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(config::AdamW{.weight_decay = 0.5}, *backend, {0, 2});
  std::vector<float> weights = {8, -4};
  optimizer->begin_step(1, 0.25);
  EXPECT_TRUE(optimizer->update(0, weights, std::vector<float>{0, 0}));
  EXPECT_FLOAT_EQ(weights[0], 7);
  EXPECT_FLOAT_EQ(weights[1], -3.5);
}

}  // namespace
}  // namespace lockstep::optim
