#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>

#include "device/block_harness.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using device::Conv2dOp;
using device::Network;

struct Case {
  Conv2dOp op;
  std::int64_t samples;
  [[nodiscard]] std::string text() const {
    return fmt::format("{} samples of {}×{}×{}, {} filters of {}×{}, stride {}, {}, padding {} {} {} {}{}",
                       samples, op.in_channels, op.in_height, op.in_width, op.out_channels, op.kernel_height,
                       op.kernel_width, op.stride_height, op.stride_width, op.pad_top, op.pad_bottom,
                       op.pad_left, op.pad_right, op.bias < 0 ? ", no bias" : "");
  }
};

/// A geometry drawn from all that a layer may ask for: any kernel, strides, four paddings, odd and prime
/// extents.
Case draw(std::uint32_t seed) {
  std::mt19937 generator(seed);
  const auto pick = [&](std::initializer_list<std::int64_t> values) {
    return *(values.begin() + generator() % values.size());
  };
  Conv2dOp op{.in_channels = pick({1, 1, 2, 3, 5, 8, 13, 16, 24}),
              .in_height = pick({5, 6, 7, 9, 12, 13}),
              .in_width = pick({5, 6, 7, 9, 12, 13}),
              .out_channels = pick({1, 2, 3, 7, 8, 16, 17, 24}),
              .kernel_height = pick({1, 2, 3, 4, 5}),
              .kernel_width = pick({1, 2, 3, 4, 5}),
              .stride_height = pick({1, 1, 2, 3}),
              .stride_width = pick({1, 1, 2, 3}),
              .weight = 0,
              .bias = 1};
  op.pad_top = pick({0, 0, 1, 2}) % op.kernel_height;
  op.pad_bottom = pick({0, 1, 2, 3}) % op.kernel_height;
  op.pad_left = pick({0, 0, 1, 2}) % op.kernel_width;
  op.pad_right = pick({0, 1, 2, 3}) % op.kernel_width;
  op.out_height = (op.in_height + op.pad_top + op.pad_bottom - op.kernel_height) / op.stride_height + 1;
  op.out_width = (op.in_width + op.pad_left + op.pad_right - op.kernel_width) / op.stride_width + 1;
  if (pick({0, 0, 0, 1}) == 1) op.bias = -1;
  return {op, pick({1, 2, 3, 16})};
}

Network network_of(const Conv2dOp& op) {
  Network network;
  network.input = {op.in_channels, op.in_height, op.in_width};
  const Shape out{op.out_channels, op.out_height, op.out_width};
  network.classes = out.count();
  network.parameters.declare("weight", {op.out_channels, op.in_channels, op.kernel_height, op.kernel_width});
  if (op.bias >= 0) network.parameters.declare("bias", {op.out_channels});
  network.nodes.push_back({"conv", op, network.input, out});
  return network;
}

std::vector<float> part(const Network& network, const std::vector<float>& slab, int index) {
  if (index < 0) return {};
  const auto begin = slab.begin() + network.parameters[index].offset;
  return {begin, begin + network.parameters[index].count};
}

void zero_where_not_positive(reference::Values& gradient, const std::vector<float>& y) {
  for (std::size_t i = 0; i < y.size(); ++i) gradient[i] = y[i] > 0 ? gradient[i] : 0;
}

/// Runs a case through oneDNN's block and compares y, dx and both parameter gradients with the reference,
/// within the rounding bound of a sum of that many products.
void check_case(const Case& one, BlockOptions options) {
  options.convolutions = device::ConvolutionMethod::onednn;
  SCOPED_TRACE(one.text());
  const Conv2dOp& op = one.op;
  const Network network = network_of(op);
  const auto x = random_floats(static_cast<std::size_t>(one.samples * network.input.count()), 1);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * network.classes), 2);
  const auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  const BlockResult actual = run_block(network, one.samples, x, dy, slab, options);

  reference::Context context{.samples = one.samples,
                             .weight = to_double(part(network, slab, op.weight)),
                             .bias = to_double(part(network, slab, op.bias)),
                             .rows = {}};
  auto y = reference::forward(op, context, to_double(x));
  auto diff = to_double(dy);
  if (options.relu_follows) {
    EXPECT_EQ(actual.implementations.back(), "fused");
    for (double& value : y) value = std::max(value, 0.0);
    if (!options.pool_masks_relu) zero_where_not_positive(diff, actual.y);
  }
  const auto gradients = reference::backward(op, context, to_double(x), y, diff);

  reference::Context magnitudes = context;
  magnitudes.weight = absolute(context.weight);
  magnitudes.bias = absolute(context.bias);
  const auto x_magnitude = absolute(to_double(x));
  const auto y_magnitude = reference::forward(op, magnitudes, x_magnitude);
  const auto gradient_magnitudes = reference::backward(op, magnitudes, x_magnitude, y, absolute(diff));

  const auto taps = static_cast<double>(op.kernel_height * op.kernel_width);
  const auto cells = static_cast<double>(one.samples * op.out_height * op.out_width);
  expect_within(actual.y, y, y_magnitude, taps * static_cast<double>(op.in_channels) + 2, "y");
  if (options.mode == device::Mode::evaluation) return;
  expect_within(part(network, actual.gradient, op.weight), gradients.weight, gradient_magnitudes.weight,
                cells + 2, "weight gradient");
  expect_within(part(network, actual.gradient, op.bias), gradients.bias, gradient_magnitudes.bias, cells + 2,
                "bias gradient");
  if (options.data_gradient)
    expect_within(actual.dx, gradients.x, gradient_magnitudes.x,
                  taps * static_cast<double>(op.out_channels) + 2, "dx");
  else
    EXPECT_TRUE(actual.dx.empty());
}

TEST(Convolution, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 120; ++seed) check_case(draw(seed), {.offer_blocked = seed % 2 == 1});
}

TEST(Convolution, takes_over_a_relu) {
  for (std::uint32_t seed = 200; seed < 230; ++seed)
    check_case(draw(seed), {.relu_follows = true, .pool_masks_relu = seed % 3 == 0});
}

TEST(Convolution, leaves_out_the_data_gradient_of_the_lowest_layer) {
  for (std::uint32_t seed = 300; seed < 310; ++seed) check_case(draw(seed), {.data_gradient = false});
}

TEST(Convolution, is_the_layer_of_the_mnist_network) {
  const auto conv = [](std::int64_t in, std::int64_t size, std::int64_t out) {
    return Conv2dOp{.in_channels = in,
                    .in_height = size,
                    .in_width = size,
                    .out_channels = out,
                    .out_height = size - 4,
                    .out_width = size - 4,
                    .kernel_height = 5,
                    .kernel_width = 5,
                    .weight = 0,
                    .bias = 1};
  };
  for (const std::int64_t samples : {1, 12, 16}) {
    check_case({conv(1, 28, 24), samples}, {.data_gradient = false, .relu_follows = true});
    check_case({conv(24, 12, 48), samples}, {.relu_follows = true, .offer_blocked = true});
  }
}

TEST(Convolution, agrees_when_planned_for_evaluation) {
  for (std::uint32_t seed = 400; seed < 420; ++seed)
    check_case(draw(seed), {.mode = device::Mode::evaluation, .relu_follows = seed % 2 == 0});
}

TEST(Convolution, gives_the_same_bits_in_evaluation_as_in_training) {
  for (std::uint32_t seed = 400; seed < 420; ++seed) {
    const Case one = draw(seed);
    SCOPED_TRACE(one.text());
    const Network network = network_of(one.op);
    const auto x = random_floats(static_cast<std::size_t>(one.samples * network.input.count()), 1);
    const auto dy = random_floats(static_cast<std::size_t>(one.samples * network.classes), 2);
    const auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
    const auto training = run_block(network, one.samples, x, dy, slab);
    const auto evaluation = run_block(network, one.samples, x, {}, slab, {.mode = device::Mode::evaluation});
    EXPECT_EQ(training.y, evaluation.y);
  }
}

}  // namespace
}  // namespace lockstep::testing
