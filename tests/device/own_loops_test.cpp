// Own loops give the same bits on every instruction set that they are compiled for.
#include "own_loops.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <vector>

namespace lockstep::testing {
namespace {

constexpr std::int64_t count = 100'003;  // a remainder for every width

/// Any bits but those of NaN, whose payload is not promised: denormals, infinities and zeros of both signs
/// too.
std::vector<float> any_floats(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    do value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    while (value != value);
  }
  return values;
}

/// Within ±`limit`, as in a training.
std::vector<float> usual_floats(unsigned seed, float limit) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = limit * (static_cast<float>(random()) * 0x1p-31F - 1);
  return values;
}

using Result = std::vector<float>;

bool same_bits(const Result& a, const Result& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = a[i] != a[i] && b[i] != b[i];
    if (!both_nan && std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
  }
  return a.size() == b.size();
}

/// All results, one after the other.
Result run_all(const OwnLoops& loops, const Result& x, const Result& dy, const Result& state) {
  Result all;
  const auto keep = [&](const Result& values) { all.insert(all.end(), values.begin(), values.end()); };
  for (const auto forward : {loops.relu_forward, loops.tanh_forward, loops.sigmoid_forward}) {
    Result y(x.size());
    forward(x.data(), y.data(), count);
    keep(y);
  }
  for (const auto backward : {loops.relu_backward, loops.tanh_backward, loops.sigmoid_backward}) {
    Result gradient = dy;
    backward(x.data(), gradient.data(), count);
    keep(gradient);
  }
  constexpr std::int64_t columns = 37;
  Result sums(columns);
  loops.sum_rows(x.data(), count / columns, columns, sums.data());
  keep(sums);
  std::vector<std::uint8_t> kept(x.size());
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = i * 7 % 3 == 0 ? 0 : 1;
  Result dropped(x.size());
  loops.drop(x.data(), kept.data(), 0.7F, dropped.data(), count);
  keep(dropped);

  for (const float momentum : {0.0F, 0.9F})
    for (const bool nesterov : {false, true}) {
      Result weights = x;
      Result velocity = state;
      const bool finite = loops.sgd(
          {.learning_rate = 0.05F, .momentum = momentum, .weight_decay = 1e-3F, .nesterov = nesterov},
          weights.data(), dy.data(), velocity.data(), count);
      keep(weights);
      keep(velocity);
      keep({finite ? 1.0F : 0.0F});
    }
  Result weights = x;
  Result moment1 = state;
  Result moment2 = state;
  for (float& value : moment2) value = std::abs(value);
  const bool finite = loops.adamw({.learning_rate = 0.001F,
                                   .beta1 = 0.9F,
                                   .beta2 = 0.999F,
                                   .epsilon = 1e-8F,
                                   .weight_decay = 0.01F,
                                   .correction1 = 1.3F,
                                   .correction2 = 1.7F},
                                  weights.data(), dy.data(), moment1.data(), moment2.data(), count);
  keep(weights);
  keep(moment1);
  keep(moment2);
  keep({finite ? 1.0F : 0.0F});
  return all;
}

class OwnLoopsTest : public ::testing::TestWithParam<OwnLoops (*)()> {};

TEST_P(OwnLoopsTest, give_the_bits_of_the_least_processor) {
  const OwnLoops loops = GetParam()();
  if (!loops.available) GTEST_SKIP() << "not run: this processor has no " << loops.name;
  const OwnLoops least = own_loops_sse2();
  for (unsigned seed = 0; seed < 4; ++seed) {
    const Result x = seed < 2 ? any_floats(seed) : usual_floats(seed, 4);
    const Result dy = seed < 2 ? any_floats(seed + 10) : usual_floats(seed + 10, 0.1F);
    const Result state = seed < 2 ? any_floats(seed + 20) : usual_floats(seed + 20, 0.1F);
    EXPECT_TRUE(same_bits(run_all(loops, x, dy, state), run_all(least, x, dy, state))) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, OwnLoopsTest, ::testing::Values(own_loops_avx2, own_loops_avx512),
                         [](const auto& set) { return set.index == 0 ? "avx2" : "avx512f"; });

}  // namespace
}  // namespace lockstep::testing
