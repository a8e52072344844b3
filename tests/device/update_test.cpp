#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "device/backend.h"
#include "device/block_harness.h"

namespace lockstep::testing {
namespace {

using device::AdamWArguments;
using device::SgdArguments;

// Powers of two make every step exact, so the sequences below are worked out by hand.

TEST(Sgd, follows_a_hand_computed_sequence) {
  const auto backend = device::make_cpu_backend();
  std::vector<float> w = {1, -2};
  const std::vector<float> g = {0.5F, 1};
  EXPECT_TRUE(backend->sgd_update({.learning_rate = 0.25F}, w, g, {}));
  EXPECT_EQ(w, (std::vector<float>{0.875F, -2.25F}));
  EXPECT_TRUE(backend->sgd_update({.learning_rate = 0.25F, .weight_decay = 0.5F}, w, g, {}));
  EXPECT_EQ(w, (std::vector<float>{0.640625F, -2.21875F}));  // g' = 0.9375, -0.125
}

TEST(Sgd, follows_a_hand_computed_sequence_with_momentum) {
  const auto backend = device::make_cpu_backend();
  std::vector<float> w = {1};
  std::vector<float> v = {0};
  const SgdArguments arguments{.learning_rate = 0.5F, .momentum = 0.5F};
  backend->sgd_update(arguments, w, std::vector<float>{1}, v);
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(w[0], 0.5F);
  backend->sgd_update(arguments, w, std::vector<float>{-2}, v);
  EXPECT_EQ(v[0], -1.5F);
  EXPECT_EQ(w[0], 1.25F);
}

TEST(Sgd, looks_ahead_with_nesterov) {
  const auto backend = device::make_cpu_backend();
  std::vector<float> w = {1};
  std::vector<float> v = {0};
  const SgdArguments arguments{.learning_rate = 0.5F, .momentum = 0.5F, .weight_decay = 1, .nesterov = true};
  backend->sgd_update(arguments, w, std::vector<float>{1}, v);  // g' = 2, v = 2, step 2 + 1
  EXPECT_EQ(v[0], 2);
  EXPECT_EQ(w[0], -0.5F);
  backend->sgd_update(arguments, w, std::vector<float>{0.5F}, v);  // g' = 0, v = 1, step 0.5
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(w[0], -0.75F);
}

TEST(AdamW, follows_a_hand_computed_sequence) {
  const auto backend = device::make_cpu_backend();
  std::vector<float> w = {2};
  std::vector<float> m = {0};
  std::vector<float> v = {0};
  // t = 1: m = 1, v = 4; corrected 2 and 16; the step is 0.5 · 2 / (4 + 0) and the decay 0.5 · 0.25 · 2.
  AdamWArguments arguments{.learning_rate = 0.5F,
                           .beta1 = 0.5F,
                           .beta2 = 0.75F,
                           .epsilon = 0,
                           .weight_decay = 0.25F,
                           .correction1 = 2,
                           .correction2 = 4};
  backend->adamw_update(arguments, w, std::vector<float>{2}, m, v);
  EXPECT_EQ(m[0], 1);
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(w[0], 2 - 0.25F - 0.5F);
  // t = 2: m = 0.5, v = 0.75; epsilon 1 beside a root of √(0.75 · 12) = 3.
  arguments.epsilon = 1;
  arguments.correction1 = 4;
  arguments.correction2 = 12;
  backend->adamw_update(arguments, w, std::vector<float>{0}, m, v);
  EXPECT_EQ(m[0], 0.5F);
  EXPECT_EQ(v[0], 0.75F);
  EXPECT_EQ(w[0], 1.25F - 0.15625F - 0.25F);
}

TEST(Update, gives_the_same_bits_however_the_slab_is_cut) {
  const auto backend = device::make_cpu_backend();
  constexpr std::size_t count = 1003;
  const auto gradient = random_floats(count, 2);
  const SgdArguments sgd{.learning_rate = 0.05F, .momentum = 0.9F, .weight_decay = 1e-4F, .nesterov = true};
  const AdamWArguments adamw{.learning_rate = 1e-3F,
                             .beta1 = 0.9F,
                             .beta2 = 0.999F,
                             .epsilon = 1e-8F,
                             .weight_decay = 0.01F,
                             .correction1 = 10,
                             .correction2 = 1000};
  const auto run = [&](std::size_t piece) {
    auto w = random_floats(count, 1);
    std::vector<float> state1(count);
    std::vector<float> state2(count);
    for (int step = 0; step < 3; ++step)
      for (std::size_t first = 0; first < count; first += piece) {
        const std::size_t size = std::min(piece, count - first);
        const auto cut = [&](std::vector<float>& from) { return std::span(from).subspan(first, size); };
        const auto g = std::span(gradient).subspan(first, size);
        EXPECT_TRUE(backend->sgd_update(sgd, cut(w), g, cut(state1)));
        EXPECT_TRUE(backend->adamw_update(adamw, cut(w), g, cut(state1), cut(state2)));
      }
    return w;
  };
  const auto whole = run(count);
  for (const std::size_t piece : {1, 3, 16, 500}) EXPECT_EQ(run(piece), whole) << piece;
}

TEST(Update, notices_what_is_not_finite_wherever_it_is) {
  const auto backend = device::make_cpu_backend();
  constexpr std::size_t count = 37;
  const SgdArguments momentum{.learning_rate = 0.1F, .momentum = 0.9F};
  const SgdArguments nesterov{.learning_rate = 0.1F, .momentum = 0.9F, .nesterov = true};
  const AdamWArguments adamw{.learning_rate = 0.1F, .beta1 = 0.9F, .beta2 = 0.9F, .epsilon = 1e-8F};
  const auto update = [&](const std::vector<float>& w, const std::vector<float>& g) {
    std::vector<bool> finite;
    std::vector<float> state1(count);
    std::vector<float> state2(count);
    auto copy = w;
    finite.push_back(backend->sgd_update({.learning_rate = 0.1F}, copy, g, {}));
    copy = w;
    finite.push_back(backend->sgd_update(momentum, copy, g, state1));
    copy = w;
    finite.push_back(backend->sgd_update(nesterov, copy, g, state1));
    copy = w;
    finite.push_back(backend->adamw_update(adamw, copy, g, state1, state2));
    return finite;
  };
  const std::vector<float> fine(count, 1.0F);
  EXPECT_EQ(update(fine, fine), std::vector<bool>(4, true));
  EXPECT_EQ(update(std::vector<float>(count, 3e38F), fine), std::vector<bool>(4, true));
  for (const float bad : {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}) {
    for (std::size_t place = 0; place < count; ++place) {
      auto poisoned = fine;
      poisoned[place] = bad;
      EXPECT_EQ(update(fine, poisoned), std::vector<bool>(4, false)) << bad << " in gradient " << place;
      EXPECT_EQ(update(poisoned, fine), std::vector<bool>(4, false)) << bad << " in weight " << place;
    }
  }
}

// The gradients are finite, their squares are not.
TEST(Update, notices_state_that_overflows_wherever_it_is) {
  const auto backend = device::make_cpu_backend();
  constexpr std::size_t count = 37;
  for (std::size_t place = 0; place < count; ++place) {
    std::vector<float> gradient(count, 1.0F);
    std::vector<float> w(count, 1.0F);
    std::vector<float> m(count);
    std::vector<float> v(count);
    const AdamWArguments adamw{.learning_rate = 0.1F, .beta1 = 0.9F, .beta2 = 0.9F, .epsilon = 1e-8F};
    gradient[place] = -1e25F;
    EXPECT_FALSE(backend->adamw_update(adamw, w, gradient, m, v)) << place;
    EXPECT_EQ(v[place], INFINITY);
    EXPECT_EQ(w[place], 1.0F) << "nothing shows in the weight";
    gradient[place] = 1;
    EXPECT_FALSE(backend->adamw_update(adamw, w, gradient, m, v)) << "and it stays so: " << place;
  }
  // Without a rate a velocity does not move the weight, but one that overflows is noticed all the same.
  for (const bool nesterov : {false, true})
    for (std::size_t place = 0; place < count; ++place) {
      std::vector<float> gradient(count, 1.0F);
      std::vector<float> w(count, 1.0F);
      std::vector<float> v(count, 1.0F);
      gradient[place] = v[place] = 3e38F;
      EXPECT_FALSE(
          backend->sgd_update({.learning_rate = 0, .momentum = 0.9F, .nesterov = nesterov}, w, gradient, v))
          << place;
      EXPECT_EQ(v[place], INFINITY);
    }
}

}  // namespace
}  // namespace lockstep::testing
