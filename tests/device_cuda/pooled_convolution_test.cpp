// The layer of convolution, ReLU and max-pool against the loops in double precision that the CPU's fused
// kernels are compared with.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "device/fused_oracle.h"
#include "device/network_builder.h"
#include "device_cuda/layer_harness.h"

namespace lockstep::testing {
namespace {

using device::Network;
using device::Pool2dOp;

/// A geometry that the layer takes, drawn as those of the CPU's kernels are.
FusedCase draw_pooled(std::uint32_t seed) {
  FusedCase one = draw_fused(seed);
  one.way = Way::direct;
  one.data_gradient = false;
  one.problem.relu = one.problem.pool = true;
  one.problem.in_channels = 1 + seed % 4;
  return one;
}

Network network_of(const FusedCase& one) {
  const fused::Problem& p = one.problem;
  const device::Conv2dOp convolution{.in_channels = p.in_channels,
                                     .in_height = p.in_height,
                                     .in_width = p.in_width,
                                     .out_channels = p.out_channels,
                                     .out_height = p.out_height,
                                     .out_width = p.out_width,
                                     .kernel_height = p.kernel,
                                     .kernel_width = p.kernel,
                                     .pad_top = p.pad_top,
                                     .pad_bottom = p.out_height + p.kernel - 1 - p.in_height - p.pad_top,
                                     .pad_left = p.pad_left,
                                     .pad_right = p.out_width + p.kernel - 1 - p.in_width - p.pad_left,
                                     .weight = 0,
                                     .bias = one.bias ? 1 : -1};
  const Shape convolved{p.out_channels, p.out_height, p.out_width};
  const Shape pooled{p.out_channels, p.dst_height(), p.dst_width()};
  const Pool2dOp pool{.channels = p.out_channels,
                      .in_height = p.out_height,
                      .in_width = p.out_width,
                      .out_height = p.dst_height(),
                      .out_width = p.dst_width(),
                      .size_height = 2,
                      .size_width = 2,
                      .stride_height = 2,
                      .stride_width = 2};
  Network network;
  network.input = {p.in_channels, p.in_height, p.in_width};
  network.classes = pooled.count();
  network.parameters.declare("weight", {p.out_channels, p.in_channels, p.kernel, p.kernel});
  if (one.bias) network.parameters.declare("bias", {p.out_channels});
  network.nodes.push_back({"conv", convolution, network.input, convolved});
  network.nodes.push_back(
      {"relu", device::ActivationOp{.kind = device::ActivationOp::Kind::relu, .count = convolved.count()},
       convolved, convolved});
  network.nodes.push_back({"pool", pool, convolved, pooled});
  return network;
}

/// Which output of each window wins, by the loops: the first of the greatest, or none.
std::vector<std::uint8_t> winners_of(const FusedCase& one, const std::vector<double>& z) {
  const fused::Problem& p = one.problem;
  std::vector<std::uint8_t> winners;
  for (std::int64_t n = 0; n < p.samples; ++n)
    for (std::int64_t row = 0; row < p.window_rows(); ++row)
      for (std::int64_t column = 0; column < p.window_columns(); ++column)
        for (std::int64_t channel = 0; channel < p.out_channels; ++channel) {
          const auto value = [&](int k) {
            const std::int64_t cell = (n * p.out_height + 2 * row + k / 2) * p.out_width + 2 * column + k % 2;
            return z[static_cast<std::size_t>(cell * p.out_channels + channel)];
          };
          int winner = 0;
          for (int k = 1; k < 4; ++k)
            if (value(k) > value(winner) || (std::isnan(value(k)) && !std::isnan(value(winner)))) winner = k;
          winners.push_back(static_cast<std::uint8_t>(value(winner) <= 0 ? 4 : winner));
        }
  return winners;
}

class CudaPooledConvolution : public ::testing::Test {
 protected:
  FusedOutputs run(const FusedCase& one, const FusedInputs& inputs,
                   device::Mode mode = device::Mode::training) const {
    const fused::Problem& p = one.problem;
    const Network network = network_of(one);
    std::vector<float> slab(static_cast<std::size_t>(network.parameters.slab_size()));
    const auto put = [&](int index, const std::vector<float>& values) {
      std::ranges::copy(values, slab.begin() + network.parameters[index].offset);
    };
    put(0, inputs.weights);
    if (one.bias) put(1, inputs.bias);
    const std::int64_t windows = p.dst_height() * p.dst_width();
    const BlockResult result =
        run_layer(device_, config::Precision::fp32, network, p.samples,
                  reordered(inputs.x, p.samples, p.in_height * p.in_width, p.in_channels),
                  reordered(inputs.dy, p.samples, windows, p.out_channels), slab,
                  {.mode = mode, .data_gradient = false, .relu_follows = true});
    EXPECT_EQ(result.implementations, (std::vector<std::string>{"own", "fused", "fused"}));
    FusedOutputs outputs;
    outputs.y = reordered(result.y, p.samples, p.out_channels, windows);
    const FusedExpected expected = expect_fused(one, inputs, std::vector<std::uint8_t>(inputs.dy.size(), 4));
    // The layer's own it does not show: the gradients tell.
    outputs.record = winners_of(one, expected.z);
    if (mode == device::Mode::evaluation) return outputs;
    const auto part = [&](int index) {
      const auto begin = result.gradient.begin() + network.parameters[index].offset;
      return std::vector<float>(begin, begin + network.parameters[index].count);
    };
    outputs.dweights = part(0);
    if (one.bias) outputs.dbias = part(1);
    return outputs;
  }

  void check(const FusedCase& one, std::uint32_t seed) const {
    SCOPED_TRACE(one.text());
    const FusedInputs inputs = draw_inputs(one, seed);
    expect_within_bounds(one, inputs, run(one, inputs));
  }

  const StandinDevice device_;
};

TEST_F(CudaPooledConvolution, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 150 && !HasFailure(); ++seed) check(draw_pooled(seed), seed);
}

TEST_F(CudaPooledConvolution, is_the_first_layer_of_the_mnist_network) {
  check(first_of_mnist(), 1);
}

/// More windows than a block has threads, and than it looks up at once; the second with as large a picture as
/// may be, so that shared memory decides how many these are.
TEST_F(CudaPooledConvolution, takes_large_pictures) {
  fused::Problem problem{.samples = 2,
                         .in_channels = 1,
                         .in_height = 50,
                         .in_width = 61,
                         .out_channels = 33,
                         .kernel = 3,
                         .relu = true,
                         .pool = true};
  check(padded_case(Way::direct, problem), 2);
  problem.in_height = problem.in_width = 62;
  problem.out_channels = 28;
  FusedCase largest = padded_case(Way::direct, problem);
  largest.bias = false;
  check(largest, 3);
}

TEST_F(CudaPooledConvolution, gives_the_same_when_planned_for_evaluation) {
  for (std::uint32_t seed = 300; seed < 310; ++seed) {
    const FusedCase one = draw_pooled(seed);
    const FusedInputs inputs = draw_inputs(one, seed);
    EXPECT_EQ(bits(run(one, inputs, device::Mode::evaluation).y), bits(run(one, inputs).y)) << one.text();
  }
}

/// Small integers make every sum exact, and equal outputs frequent.
TEST_F(CudaPooledConvolution, lets_the_first_of_equal_outputs_win) {
  for (std::uint32_t seed = 400; seed < 420; ++seed) {
    const FusedCase one = draw_pooled(seed);
    FusedInputs inputs = draw_inputs(one, seed);
    for (auto* values : {&inputs.x, &inputs.weights, &inputs.bias, &inputs.dy})
      for (float& value : *values) value = std::round(2 * value);
    const FusedOutputs actual = run(one, inputs);
    const FusedExpected expected = expect_fused(one, inputs, actual.record);
    EXPECT_EQ(actual.y, std::vector<float>(expected.y.begin(), expected.y.end())) << one.text();
    EXPECT_EQ(actual.dweights, std::vector<float>(expected.dweights.begin(), expected.dweights.end()))
        << one.text();
    EXPECT_EQ(actual.dbias, std::vector<float>(expected.dbias.begin(), expected.dbias.end())) << one.text();
  }
}

TEST_F(CudaPooledConvolution, keeps_what_is_not_finite) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::uint32_t seed = 500;
  for (const float bad : {nan, infinity, -infinity})
    for (std::vector<float> FusedInputs::* const list :
         {&FusedInputs::x, &FusedInputs::weights, &FusedInputs::bias, &FusedInputs::dy}) {
      FusedCase one = draw_pooled(++seed);
      one.bias = true;
      SCOPED_TRACE(one.text());
      FusedInputs inputs = draw_inputs(one, seed);
      (inputs.*list)[seed * 31 % (inputs.*list).size()] = bad;
      const FusedOutputs actual = run(one, inputs);
      const FusedExpected expected = expect_fused(one, inputs, actual.record);
      // Zeros of the padding are multiplied too, with infinite weights to NaN.
      const bool exactly = list != &FusedInputs::weights;
      for (std::size_t i = 0; i < actual.y.size(); ++i)
        EXPECT_TRUE(std::isfinite(actual.y[i]) == std::isfinite(expected.y[i]) ||
                    (!exactly && !std::isfinite(actual.y[i])))
            << i;
      for (std::size_t i = 0; i < actual.dbias.size(); ++i)
        EXPECT_EQ(std::isfinite(actual.dbias[i]), std::isfinite(expected.dbias[i])) << i;
      for (std::size_t i = 0; i < actual.dweights.size();
           ++i)  // where a picture is bad, it may be more of these
        EXPECT_TRUE(std::isfinite(expected.dweights[i]) || !std::isfinite(actual.dweights[i])) << i;
    }
}

/// What it takes, and what is left to cuDNN.
TEST_F(CudaPooledConvolution, is_chosen_by_extents_and_place) {
  using Pool = Pool2dOp::Kind;
  const auto first = [](NetworkBuilder builder, config::Precision precision = config::Precision::fp32) {
    const Network network = builder.flatten().dense(3).build();
    const auto accelerator = device::make_accelerator({.index = 0, .precision = precision});
    const auto implementation = [&](device::Mode mode) {
      return accelerator->plan(network, 2, mode, "")->implementations().front();
    };
    const std::string training = implementation(device::Mode::training);
    EXPECT_EQ(implementation(device::Mode::evaluation) == "own", training == "own");
    return training.substr(0, training.find(':'));
  };
  const auto from = [](Shape input) { return NetworkBuilder(std::move(input)); };
  for (const auto precision : {config::Precision::fp32, config::Precision::tf32, config::Precision::bf16})
    EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).relu().max_pool(2), precision), "own");
  EXPECT_EQ(first(from({4, 12, 12}).conv(6, 5, 1, 2, 2).relu().max_pool(2)), "own");
  EXPECT_EQ(first(from({1, 64, 64}).conv(6, 3).relu().max_pool(2)), "own");
  EXPECT_EQ(first(from({5, 12, 12}).conv(6, 3).relu().max_pool(2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 1).relu().max_pool(2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 4).relu().max_pool(2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3, 2).relu().max_pool(2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).relu().pool(Pool::max, 3, 2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).relu().pool(Pool::max, 2, 1)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).relu().pool(Pool::average, 2, 2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).max_pool(2)), "cudnn");
  EXPECT_EQ(first(from({1, 12, 12}).conv(6, 3).relu()), "cudnn");
  EXPECT_EQ(first(from({1, 64, 65}).conv(6, 3).relu().max_pool(2)), "cudnn");
  // Behind another layer with parameters it would have to hand down a gradient.
  const Network second =
      from({1, 14, 14}).conv(2, 3).conv(6, 3).relu().max_pool(2).flatten().dense(3).build();
  for (const auto mode : {device::Mode::training, device::Mode::evaluation})
    EXPECT_TRUE(device_->plan(second, 2, mode, "")->implementations()[1].starts_with("cudnn"));
}

}  // namespace
}  // namespace lockstep::testing
