// What every optimizer promises, tried on each.
#include "optim/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace lockstep::optim {
namespace {

constexpr std::int64_t slab = 5000;
constexpr int steps = 4;

struct Case {
  std::string name;
  config::Optimizer settings;
  std::vector<std::string> state;
};

class EveryOptimizer : public ::testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Optimizer> make(Range slice) {
    return make_optimizer(GetParam().settings, *backend_, slice);
  }

 private:
  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
};

std::vector<float> random_slab(std::uint32_t which) {
  const RandomKey key(3, Purpose::shuffle, which);
  std::vector<float> values(slab);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = unit_float(key.words(0, i, 0)[0]) - 0.5F;
  return values;
}

std::span<float> part(std::vector<float>& values, Range range) {
  return std::span(values).subspan(static_cast<std::size_t>(range.begin),
                                   static_cast<std::size_t>(range.size()));
}

/// One step over a range, whatever it is cut into.
void update(Optimizer& optimizer, Range range, std::vector<float>& weights, std::vector<float>& gradient) {
  ASSERT_TRUE(optimizer.update(range.begin, part(weights, range), part(gradient, range)));
}

/// The weights after some steps, each applied to the whole slab at once.
std::vector<float> trained_at_once(Optimizer& optimizer) {
  std::vector<float> weights = random_slab(0);
  for (int step = 1; step <= steps; ++step) {
    std::vector<float> gradient = random_slab(static_cast<std::uint32_t>(step));
    optimizer.begin_step(step, 0.1 / step);
    update(optimizer, {0, slab}, weights, gradient);
  }
  return weights;
}

TEST_P(EveryOptimizer, BitsDoNotDependOnHowTheSlabIsCutIntoCalls) {
  const std::vector<float> expected = trained_at_once(*make({0, slab}));
  for (const std::int64_t pieces : {2, 3, 7, 64, 4999}) {
    const auto optimizer = make({0, slab});
    std::vector<float> weights = random_slab(0);
    for (int step = 1; step <= steps; ++step) {
      std::vector<float> gradient = random_slab(static_cast<std::uint32_t>(step));
      optimizer->begin_step(step, 0.1 / step);
      for (std::int64_t index = pieces; index-- > 0;)
        update(*optimizer, piece(slab, pieces, index), weights, gradient);
    }
    EXPECT_EQ(weights, expected) << pieces;
  }
}

TEST_P(EveryOptimizer, BitsDoNotDependOnWhoOwnsWhichSlice) {
  const std::vector<float> expected = trained_at_once(*make({0, slab}));
  for (const std::int64_t owners : {2, 3, 8}) {
    std::vector<float> weights = random_slab(0);
    for (std::int64_t owner = 0; owner < owners; ++owner) {
      const Range slice = piece(slab, owners, owner);
      const auto optimizer = make(slice);
      for (int step = 1; step <= steps; ++step) {
        std::vector<float> gradient = random_slab(static_cast<std::uint32_t>(step));
        optimizer->begin_step(step, 0.1 / step);
        update(*optimizer, slice, weights, gradient);
      }
    }
    EXPECT_EQ(weights, expected) << owners;
  }
}

TEST_P(EveryOptimizer, BitsDoNotDependOnThreads) {
  const std::vector<float> expected = trained_at_once(*make({0, slab}));
  constexpr std::int64_t threads = 4;
  const auto optimizer = make({0, slab});
  std::vector<float> weights = random_slab(0);
  for (int step = 1; step <= steps; ++step) {
    std::vector<float> gradient = random_slab(static_cast<std::uint32_t>(step));
    optimizer->begin_step(step, 0.1 / step);
    std::vector<std::jthread> workers;
    for (std::int64_t index = 0; index < threads; ++index)
      workers.emplace_back(
          [&, index] { update(*optimizer, piece(slab, threads, index), weights, gradient); });
  }
  EXPECT_EQ(weights, expected);
}

TEST_P(EveryOptimizer, StateIsOneNumberForEachWeightOfTheSliceAndZeroAtFirst) {
  const auto optimizer = make({1024, 1500});
  std::vector<std::string> names;
  for (const Optimizer::State& state : optimizer->state()) {
    names.push_back(state.name);
    EXPECT_EQ(state.values.size(), 476U);
    EXPECT_TRUE(std::all_of(state.values.begin(), state.values.end(), [](float x) { return x == 0; }));
  }
  EXPECT_EQ(names, GetParam().state);
}

// What a checkpoint relies on: with the state copied, another optimizer goes on with the same bits.
TEST_P(EveryOptimizer, StateIsAllThatAnOptimizerRemembers) {
  const auto first = make({0, slab});
  std::vector<float> weights = trained_at_once(*first);
  const auto second = make({0, slab});
  const auto from = first->state();
  const auto to = second->state();
  for (std::size_t i = 0; i < from.size(); ++i)
    std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());

  std::vector<float> again = weights;
  std::vector<float> gradient = random_slab(77);
  for (Optimizer* optimizer : {first.get(), second.get()}) {
    optimizer->begin_step(steps + 1, 0.1);
    update(*optimizer, {0, slab}, optimizer == first.get() ? weights : again, gradient);
  }
  EXPECT_EQ(weights, again);
}

TEST_P(EveryOptimizer, ReportsNumbersThatAreNotFinite) {
  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
    for (const std::size_t where : {std::size_t{0}, std::size_t{36}, std::size_t{4999}}) {
      const auto optimizer = make({0, slab});
      std::vector<float> weights = random_slab(0);
      std::vector<float> gradient = random_slab(1);
      gradient[where] = bad;
      optimizer->begin_step(1, 0.1);
      EXPECT_FALSE(optimizer->update(0, weights, gradient)) << bad << " at " << where;
    }
}

TEST_P(EveryOptimizer, ReportsAWeightThatIsNotFiniteThoughItsGradientIs) {
  const auto optimizer = make({0, slab});
  std::vector<float> weights = random_slab(0);
  std::vector<float> gradient = random_slab(1);
  weights[123] = std::numeric_limits<float>::infinity();
  optimizer->begin_step(1, 0.1);
  EXPECT_FALSE(optimizer->update(0, weights, gradient));
}

TEST_P(EveryOptimizer, ReportsStateThatIsNotFinite) {
  const auto optimizer = make({1024, 2048});
  for (const Optimizer::State& state : optimizer->state()) {
    std::vector<float> weights = random_slab(0);
    std::vector<float> gradient = random_slab(1);
    optimizer->begin_step(1, 0.1);
    EXPECT_TRUE(optimizer->update(1024, part(weights, {0, 1024}), part(gradient, {0, 1024})));
    state.values[700] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(optimizer->update(1024, part(weights, {0, 1024}), part(gradient, {0, 1024}))) << state.name;
    state.values[700] = 0;
  }
}

TEST_P(EveryOptimizer, RefusesWeightsOutsideOfItsSlice) {
  const auto optimizer = make({1024, 2048});
  std::vector<float> weights(10);
  optimizer->begin_step(1, 0.1);
  EXPECT_THROW(optimizer->update(1020, weights, weights), Error);
  EXPECT_THROW(optimizer->update(2040, weights, weights), Error);
}

TEST_P(EveryOptimizer, AnEmptySliceIsFine) {
  const auto optimizer = make({1024, 1024});
  optimizer->begin_step(1, 0.1);
  EXPECT_TRUE(optimizer->update(1024, {}, {}));
}

INSTANTIATE_TEST_SUITE_P(
    Settings, EveryOptimizer,
    ::testing::Values(Case{"sgd", config::Sgd{}, {}},
                      Case{"momentum", config::Sgd{.momentum = 0.9, .weight_decay = 1e-3}, {"velocity"}},
                      Case{"nesterov", config::Sgd{.momentum = 0.9, .nesterov = true}, {"velocity"}},
                      Case{"adamw", config::AdamW{}, {"moment1", "moment2"}}),
    [](const auto& info) { return info.param.name; });

TEST(BaseLearningRate, IsThatOfTheSettings) {
  EXPECT_EQ(base_learning_rate(config::Sgd{.learning_rate = 0.25}), 0.25);
  EXPECT_EQ(base_learning_rate(config::AdamW{.learning_rate = 0.125}), 0.125);
}

}  // namespace
}  // namespace lockstep::optim
