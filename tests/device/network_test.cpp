#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "device/backend.h"
#include "device/block_harness.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using namespace device;
using Kind = ActivationOp::Kind;
using Pool = Pool2dOp::Kind;

/// A shard's data, generated.
struct Shard {
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> rows;

  Shard(const Network& network, std::int64_t samples, std::uint32_t seed)
      : images(random_floats(static_cast<std::size_t>(samples * network.input.count()), seed)) {
    for (std::int64_t n = 0; n < samples; ++n) {
      labels.push_back(static_cast<std::int32_t>((n * 7 + seed) % network.classes));
      rows.push_back(n * 1000 + seed);
    }
  }
  [[nodiscard]] ShardInput input() const { return {images.data(), labels.data(), rows.data(), 3}; }
};

/// Weights of a size that keeps activations near one through any number of layers.
std::vector<float> weights_of(const Network& network) {
  std::vector<float> slab(static_cast<std::size_t>(network.parameters.slab_size()));
  for (const Parameter& parameter : network.parameters.all()) {
    const auto values = random_floats(static_cast<std::size_t>(parameter.count),
                                      static_cast<std::uint32_t>(parameter.offset));
    const auto fan_in = static_cast<float>(parameter.count) / static_cast<float>(parameter.shape[0]);
    const float scale = 1.7F / std::sqrt(fan_in);
    for (std::size_t i = 0; i < values.size(); ++i)
      slab[static_cast<std::size_t>(parameter.offset) + i] = scale * values[i];
  }
  return slab;
}

struct NamedNetwork {
  std::string name;
  Network network;
  friend std::ostream& operator<<(std::ostream& out, const NamedNetwork& named) { return out << named.name; }
};

/// Chains that meet every junction of layouts: blocked to plain and back, nothing to convert, a ReLU taken
/// over or not, a mask moved behind a pool, layers below the lowest parameters, outputs without flatten.
std::vector<NamedNetwork> chains() {
  const auto from = [](Shape input) { return NetworkBuilder(std::move(input)); };
  return {
      {"softmax", from({1, 9, 7}).flatten().dense(10).build()},
      {"cnn", from({1, 16, 16})
                  .conv(24, 5)
                  .relu()
                  .max_pool(2)
                  .conv(17, 3)
                  .relu()
                  .max_pool(2)
                  .flatten()
                  .dense(31)
                  .relu()
                  .dense(10)
                  .build()},
      {"padded", from({3, 11, 9})
                     .conv(7, 3, 2, 0, 1)
                     .relu()
                     .pool(Pool::max, 3, 2, 1, 1)
                     .conv(5, 2, 1, 1, 0, false)
                     .activation(Kind::sigmoid)
                     .flatten()
                     .dense(6, false)
                     .build()},
      {"averages", from({2, 12, 12})
                       .conv(8, 3, 1, 1, 1)
                       .activation(Kind::tanh)
                       .pool(Pool::average, 2, 2)
                       .conv(9, 3)
                       .pool(Pool::average, 3, 1, 1, 1)
                       .relu()
                       .flatten()
                       .dense(5)
                       .build()},
      {"dropout", from({1, 10, 10})
                      .conv(6, 3)
                      .relu()
                      .dropout(0.3)
                      .max_pool(2)
                      .flatten()
                      .dropout(0.5)
                      .dense(20)
                      .relu()
                      .dropout(0.25)
                      .dense(4)
                      .build()},
      {"overlapping", from({1, 12, 12}).conv(16, 3).relu().pool(Pool::max, 3, 1).flatten().dense(3).build()},
      {"low_layers", from({3, 8, 8})
                         .relu()
                         .max_pool(2)
                         .activation(Kind::tanh)
                         .conv(5, 2)
                         .relu()
                         .flatten()
                         .dense(4)
                         .build()},
      {"no_flatten", from({4, 6, 6}).conv(8, 3).relu().conv(10, 4).build(config::Loss::mean_squared_error)},
      {"squared_error",
       from({6}).dense(8).activation(Kind::sigmoid).dense(3).build(config::Loss::mean_squared_error)},
      {"fused", from({3, 13, 11})
                    .conv(20, 3, 1, 1, 1)
                    .relu()
                    .max_pool(2)
                    .conv(9, 5, 1, 2, 2, false)
                    .max_pool(2)
                    .conv(33, 3, 1, 1, 1)
                    .conv(8, 3, 1, 2, 1)
                    .relu()
                    .pool(Pool::max, 3, 2)
                    .conv(10, 3, 1, 1, 1)
                    .activation(Kind::tanh)
                    .flatten()
                    .dense(6)
                    .build()},
      {"relu_last", from({6}).dense(8).relu().dense(5).relu().build()},
  };
}

class NetworkTest : public ::testing::TestWithParam<NamedNetwork> {};

TEST_P(NetworkTest, agrees_with_the_reference) {
  const Network& network = GetParam().network;
  const auto slab = weights_of(network);
  for (const std::int64_t samples : {1, 2, 3, 16}) {
    const auto plan = make_cpu_backend()->plan(network, samples, Mode::training);
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

TEST_P(NetworkTest, writes_zeros_between_the_parameters) {
  const Network& network = GetParam().network;
  const auto plan = make_cpu_backend()->plan(network, 3, Mode::training);
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

TEST_P(NetworkTest, evaluates_without_dropout) {
  const Network& network = GetParam().network;
  const auto slab = weights_of(network);
  const Shard shard(network, 4, 8);
  const auto expected = reference::run(network, to_double(slab), shard.input(), 4, false);
  for (const Mode mode : {Mode::training, Mode::evaluation}) {
    const auto plan = make_cpu_backend()->plan(network, 4, mode);
    plan->load_weights(slab);
    const Totals totals = plan->make_runner()->evaluate(shard.input());
    EXPECT_NEAR(totals.loss, expected.loss, 1e-5 * expected.loss);
    EXPECT_EQ(totals.correct, expected.correct);
  }
}

TEST_P(NetworkTest, a_used_runner_gives_the_bits_of_a_fresh_one) {
  const Network& network = GetParam().network;
  const auto plan = make_cpu_backend()->plan(network, 5, Mode::training);
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

/// Loss of the reference with the weights moved by `step` along `direction`.
double moved_loss(const Network& network, reference::Values slab, const reference::Values& direction,
                  double step, const ShardInput& input, std::int64_t samples) {
  for (std::size_t i = 0; i < slab.size(); ++i) slab[i] += step * direction[i];
  return reference::run(network, slab, input, samples, true).loss;
}

TEST_P(NetworkTest, the_gradient_is_the_slope_of_the_loss) {
  const Network& network = GetParam().network;
  const auto slab = weights_of(network);
  const auto plan = make_cpu_backend()->plan(network, 3, Mode::training);
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

INSTANTIATE_TEST_SUITE_P(Chains, NetworkTest, ::testing::ValuesIn(chains()),
                         [](const auto& chain) { return chain.param.name; });

/// With every way to compute convolutions the gradient is the same, but for rounding.
TEST_P(NetworkTest, agrees_with_itself_whatever_computes_the_convolutions) {
  const Network& network = GetParam().network;
  const auto slab = weights_of(network);
  const Shard shard(network, 5, 3);
  const auto run = [&](ConvolutionMethod method) {
    const auto plan = make_cpu_backend({.convolutions = method})->plan(network, 5, Mode::training);
    plan->load_weights(slab);
    std::vector<float> gradient(slab.size(), std::numeric_limits<float>::quiet_NaN());
    plan->make_runner()->train(shard.input(), gradient);
    return gradient;
  };
  const auto expected = run(ConvolutionMethod::onednn);
  double greatest = 0;
  for (const float value : expected) greatest = std::max<double>(greatest, std::abs(value));
  for (const auto method :
       {ConvolutionMethod::automatic, ConvolutionMethod::winograd, ConvolutionMethod::direct}) {
    const auto actual = run(method);
    for (std::size_t i = 0; i < slab.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-5 * greatest) << i;
  }
}

TEST(Network, without_parameters_has_a_zero_gradient) {
  const Network network = NetworkBuilder({2, 4, 4}).relu().max_pool(2).flatten().build();
  const auto plan = make_cpu_backend()->plan(network, 2, Mode::training);
  plan->load_weights({});
  const Shard shard(network, 2, 1);
  EXPECT_EQ(plan->make_runner()->train(shard.input(), {}).samples, 2);
}

TEST(Network, says_how_it_runs) {
  const Network network = chains()[1].network;
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  const auto names = plan->implementations();
  EXPECT_EQ(names[1], "fused");
  EXPECT_EQ(names[4], "fused");
  EXPECT_EQ(names[8], "fused");
  for (const auto& name : names) EXPECT_FALSE(name.empty());
  EXPECT_GT(plan->runner_bytes(), 16 * 24 * 12 * 12 * 4);
  const auto evaluation = make_cpu_backend()->plan(network, 16, Mode::evaluation);
  EXPECT_LT(evaluation->runner_bytes(), plan->runner_bytes());
}

TEST(Network, chooses_how_to_compute_convolutions_by_their_extents_or_as_told) {
  const Network network = NetworkBuilder({1, 20, 20})
                              .conv(24, 5)
                              .relu()
                              .max_pool(2)
                              .conv(48, 3)
                              .relu()
                              .conv(16, 2)
                              .flatten()
                              .dense(10)
                              .build();
  const auto names = [&](ConvolutionMethod method, Mode mode) {
    return make_cpu_backend({.convolutions = method})->plan(network, 16, mode)->implementations();
  };
  for (const Mode mode : {Mode::training, Mode::evaluation}) {
    const auto automatic = names(ConvolutionMethod::automatic, mode);
    if (cpu_instruction_set() != "sse41" && cpu_instruction_set() != "avx") {
      EXPECT_EQ(automatic[0], "lockstep:direct_5x5");
      EXPECT_EQ(automatic[1], "fused");
      EXPECT_EQ(automatic[2], "fused");
      EXPECT_EQ(automatic[3], "lockstep:winograd_2x2_3x3");
      EXPECT_EQ(automatic[4], "fused");
    }
    EXPECT_EQ(automatic[5].find("lockstep"), std::string::npos) << automatic[5];
    EXPECT_EQ(names(ConvolutionMethod::winograd, mode)[0], "lockstep:winograd_2x2_5x5");
    const auto direct = names(ConvolutionMethod::direct, mode);
    EXPECT_EQ(direct[0], "lockstep:direct_5x5");
    EXPECT_EQ(direct[3].find("lockstep"), std::string::npos) << direct[3];
    for (const auto& name : names(ConvolutionMethod::onednn, mode))
      EXPECT_EQ(name.find("lockstep"), std::string::npos) << name;
  }
}

TEST(Network, reads_large_dense_weights_from_the_slab) {
  const Network network = NetworkBuilder({768}).dense(512).relu().dense(10).build();
  const auto plan = make_cpu_backend()->plan(network, 16, Mode::training);
  EXPECT_LE(plan->shared_bytes(), 512 * 64 * 4);  // at most the small layer's, padded
}

}  // namespace
}  // namespace lockstep::testing
