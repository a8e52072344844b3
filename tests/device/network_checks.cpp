#include "device/network_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/chains.h"
#include "device/numbers.h"
#include "device/reference_ops.h"

namespace lockstep::testing {

using namespace device;

namespace {

/// Loss of the reference with the weights moved by `step` along `direction`.
double moved_loss(const Network& network, reference::Values slab, const reference::Values& direction,
                  double step, const ShardInput& input, std::int64_t samples) {
  for (std::size_t i = 0; i < slab.size(); ++i) slab[i] += step * direction[i];
  return reference::run(network, slab, input, samples, true).loss;
}

}  // namespace

void agrees_with_the_reference(Backend& backend, const Network& network) {
  const auto slab = weights_of(network);
  for (const std::int64_t samples : {1, 2, 3, 16}) {
    const auto plan = backend.plan(network, samples, Mode::training);
    plan->load_weights(slab);
    EXPECT_EQ(plan->implementations().size(), network.nodes.size());
    const auto runner = plan->make_runner();
    const Shard shard(network, samples, 5);
    std::vector<float> gradient(slab.size(), std::numeric_limits<float>::quiet_NaN());
    const Totals totals = runner->train(shard.input(), gradient);
    const auto expected = reference::run(network, to_double(slab), shard.input(), samples, true);
    EXPECT_EQ(totals.samples, samples);
    EXPECT_EQ(totals.correct, expected.correct);
    // Sums of at most some hundred products a layer, four layers deep; errors measured are below 1e-6.
    EXPECT_NEAR(totals.loss, expected.loss, 1e-5 * expected.loss);
    double greatest = 0;
    for (const double value : expected.gradient) greatest = std::max(greatest, std::abs(value));
    for (std::size_t i = 0; i < slab.size(); ++i)
      ASSERT_NEAR(gradient[i], expected.gradient[i], 1e-5 * greatest) << i;
  }
}

void writes_zeros_between_the_parameters(Backend& backend, const Network& network) {
  const auto plan = backend.plan(network, 3, Mode::training);
  const auto slab = weights_of(network);
  plan->load_weights(slab);
  const Shard shard(network, 3, 5);
  std::vector<float> gradient(slab.size(), std::numeric_limits<float>::quiet_NaN());
  plan->make_runner()->train(shard.input(), gradient);
  std::vector<bool> inside(slab.size(), false);
  for (const Parameter& parameter : network.parameters.all())
    std::fill_n(inside.begin() + parameter.offset, parameter.count, true);
  std::size_t gaps = 0;
  for (std::size_t i = 0; i < slab.size(); ++i) {
    if (inside[i]) continue;
    ++gaps;
    ASSERT_EQ(gradient[i], 0.0F) << i;
  }
  EXPECT_GT(gaps, 0U);
}

void evaluates_without_dropout(Backend& backend, const Network& network) {
  const auto slab = weights_of(network);
  const Shard shard(network, 4, 8);
  const auto expected = reference::run(network, to_double(slab), shard.input(), 4, false);
  for (const Mode mode : {Mode::training, Mode::evaluation}) {
    const auto plan = backend.plan(network, 4, mode);
    plan->load_weights(slab);
    const Totals totals = plan->make_runner()->evaluate(shard.input());
    EXPECT_NEAR(totals.loss, expected.loss, 1e-5 * expected.loss);
    EXPECT_EQ(totals.correct, expected.correct);
  }
}

void a_used_runner_gives_the_bits_of_a_fresh_one(Backend& backend, const Network& network) {
  const auto plan = backend.plan(network, 5, Mode::training);
  const auto slab = weights_of(network);
  plan->load_weights(slab);
  const Shard shard(network, 5, 1);
  std::vector<float> expected(slab.size());
  const Totals fresh = plan->make_runner()->train(shard.input(), expected);

  const auto used = plan->make_runner();
  std::vector<float> gradient(slab.size());
  Shard wild(network, 5, 2);
  for (float& value : wild.images) value *= 1e3F;
  wild.images[3] = std::numeric_limits<float>::infinity();
  wild.images[7] = std::numeric_limits<float>::quiet_NaN();
  for (int repetition = 0; repetition < 3; ++repetition) {
    used->train(wild.input(), gradient);
    used->evaluate(wild.input());
    const Totals again = used->train(shard.input(), gradient);
    EXPECT_EQ(again.loss, fresh.loss);
    EXPECT_EQ(gradient, expected);
  }
}

void the_gradient_is_the_slope_of_the_loss(Backend& backend, const Network& network) {
  const auto slab = weights_of(network);
  const auto plan = backend.plan(network, 3, Mode::training);
  plan->load_weights(slab);
  const Shard shard(network, 3, 5);
  std::vector<float> gradient(slab.size());
  plan->make_runner()->train(shard.input(), gradient);
  for (const Parameter& parameter : network.parameters.all()) {
    reference::Values direction(slab.size());
    const auto random = random_floats(static_cast<std::size_t>(parameter.count), 77);
    double slope = 0;
    double size = 0;
    for (std::size_t i = 0; i < random.size(); ++i) {
      const std::size_t place = static_cast<std::size_t>(parameter.offset) + i;
      direction[place] = random[i];
      slope += gradient[place] * random[i];
      size += std::abs(gradient[place] * random[i]);
    }
    // Central differences in doubles, a step too small to cross a kink of ReLU or pooling.
    constexpr double step = 1e-6;
    const auto start = to_double(slab);
    const double difference = (moved_loss(network, start, direction, step, shard.input(), 3) -
                               moved_loss(network, start, direction, -step, shard.input(), 3)) /
                              (2 * step);
    EXPECT_NEAR(slope, difference, 1e-5 * size + 1e-7) << parameter.name;
    EXPECT_GT(size, 0) << parameter.name;
  }
}

}  // namespace lockstep::testing
