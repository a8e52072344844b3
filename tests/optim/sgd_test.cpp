#include "optim/sgd.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace lockstep::optim {
namespace {

constexpr double rate = 0.5;
constexpr std::size_t count = 37;  // whole SIMD registers and a rest

/// Elements differ by powers of two, which scale the whole sequence exactly.
float scale(std::size_t index) {
  return static_cast<float>(1U << index % 5) * (index % 2 == 0 ? 1.0F : -1.0F);
}

/// The weights after each of three steps with gradients 1, 2, −1, from 1; the same, scaled, for every
/// element.
void expect_sequence(const config::Sgd& settings, std::vector<float> expected) {
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(settings, *backend, {0, count});
  const std::vector<float> gradients = {1, 2, -1};
  std::vector<float> weights(count);
  for (std::size_t i = 0; i < count; ++i) weights[i] = scale(i);
  for (std::size_t step = 0; step < gradients.size(); ++step) {
    std::vector<float> gradient(count);
    for (std::size_t i = 0; i < count; ++i) gradient[i] = gradients[step] * scale(i);
    optimizer->begin_step(static_cast<std::int64_t>(step) + 1, rate);
    EXPECT_TRUE(optimizer->update(0, weights, gradient));
    for (std::size_t i = 0; i < count; ++i)
      ASSERT_EQ(weights[i], expected[step] * scale(i)) << "step " << step + 1 << ", element " << i;
  }
}

TEST(Sgd, Plain) {
  expect_sequence({.momentum = 0, .nesterov = false, .weight_decay = 0}, {0.5F, -0.5F, 0.0F});
}

// v: 1, 2.5, 0.25.
TEST(Sgd, Momentum) {
  expect_sequence({.momentum = 0.5, .nesterov = false, .weight_decay = 0}, {0.5F, -0.75F, -0.875F});
}

// The same velocities; g + μv: 1.5, 3.25, −0.875.
TEST(Sgd, Nesterov) {
  expect_sequence({.momentum = 0.5, .nesterov = true, .weight_decay = 0}, {0.25F, -1.375F, -0.9375F});
}

// g + λw: 1.5, 2.125, −1.40625.
TEST(Sgd, WeightDecay) {
  expect_sequence({.momentum = 0, .nesterov = false, .weight_decay = 0.5}, {0.25F, -0.8125F, -0.109375F});
}

// g + λw: 1.5, 1.9375, −1.8828125; v: 1.5, 2.6875, −0.5390625; g + μv: 2.25, 3.28125, −2.15234375.
TEST(Sgd, NesterovWithWeightDecay) {
  expect_sequence({.momentum = 0.5, .nesterov = true, .weight_decay = 0.5},
                  {-0.125F, -1.765625F, -0.689453125F});
}

TEST(Sgd, TheRateOfAStepDoesNotEnterTheVelocity) {
  const auto backend = device::make_cpu_backend();
  const auto optimizer = make_optimizer(config::Sgd{.momentum = 0.5}, *backend, {0, 1});
  std::vector<float> weights = {0};
  const std::vector<float> gradient = {1};
  optimizer->begin_step(1, 0.0);
  EXPECT_TRUE(optimizer->update(0, weights, gradient));
  EXPECT_EQ(weights[0], 0);
  optimizer->begin_step(2, 1.0);
  EXPECT_TRUE(optimizer->update(0, weights, gradient));
  EXPECT_EQ(weights[0], -1.5F);
}

}  // namespace
}  // namespace lockstep::optim
