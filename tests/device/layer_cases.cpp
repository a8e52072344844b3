#include "device/layer_cases.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "device/network_builder.h"
#include "device/numbers.h"
#include "device/reference_ops.h"

namespace lockstep::testing {

using device::Conv2dOp;
using device::DenseOp;
using device::Network;
using device::Pool2dOp;

namespace {

std::vector<float> part(const Network& network, const std::vector<float>& slab, int index) {
  if (index < 0) return {};
  const auto begin = slab.begin() + network.parameters[index].offset;
  return {begin, begin + network.parameters[index].count};
}

void zero_where_not_positive(reference::Values& gradient, const std::vector<float>& y) {
  for (std::size_t i = 0; i < y.size(); ++i) gradient[i] = y[i] > 0 ? gradient[i] : 0;
}

}  // namespace

std::string ConvolutionCase::text() const {
  return fmt::format("{} samples of {}×{}×{}, {} filters of {}×{}, stride {}, {}, padding {} {} {} {}{}",
                     samples, op.in_channels, op.in_height, op.in_width, op.out_channels, op.kernel_height,
                     op.kernel_width, op.stride_height, op.stride_width, op.pad_top, op.pad_bottom,
                     op.pad_left, op.pad_right, op.bias < 0 ? ", no bias" : "");
}

ConvolutionCase draw_convolution(std::uint32_t seed) {
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

ConvolutionCase square_convolution(std::int64_t in, std::int64_t size, std::int64_t out,
                                   std::int64_t samples) {
  return {{.in_channels = in,
           .in_height = size,
           .in_width = size,
           .out_channels = out,
           .out_height = size - 4,
           .out_width = size - 4,
           .kernel_height = 5,
           .kernel_width = 5,
           .weight = 0,
           .bias = 1},
          samples};
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

void check_layer(const RunLayer& run, const ConvolutionCase& one, const BlockOptions& options) {
  SCOPED_TRACE(one.text());
  const Conv2dOp& op = one.op;
  const Network network = network_of(op);
  const auto x = random_floats(static_cast<std::size_t>(one.samples * network.input.count()), 1);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * network.classes), 2);
  const auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  const BlockResult actual = run(network, one.samples, x, dy, slab, options);

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
  const auto expect_near = [](bool transforms, const std::vector<float>& values,
                              const reference::Values& expected, reference::Values magnitude, double terms,
                              const char* what) {
    if (transforms && !magnitude.empty()) magnitude.assign(magnitude.size(), std::ranges::max(magnitude));
    expect_within(values, expected, magnitude, transforms ? terms + 64 : terms, what);
  };
  expect_near(actual.transforms.forward, actual.y, y, y_magnitude,
              taps * static_cast<double>(op.in_channels) + 2, "y");
  if (options.mode == device::Mode::evaluation) return;
  expect_near(actual.transforms.filter, part(network, actual.gradient, op.weight), gradients.weight,
              gradient_magnitudes.weight, cells + 2, "weight gradient");
  expect_near(false, part(network, actual.gradient, op.bias), gradients.bias, gradient_magnitudes.bias,
              cells + 2, "bias gradient");
  if (options.data_gradient)
    expect_near(actual.transforms.data, actual.dx, gradients.x, gradient_magnitudes.x,
                taps * static_cast<double>(op.out_channels) + 2, "dx");
  else
    EXPECT_TRUE(actual.dx.empty());
}

void check_layer(const RunLayer& run, const DenseCase& one, const BlockOptions& options) {
  SCOPED_TRACE(
      fmt::format("{} samples, {} to {}{}", one.samples, one.in, one.out, one.bias ? "" : ", no bias"));
  const auto network = NetworkBuilder({one.in}).dense(one.out, one.bias).build();
  const auto& op = std::get<DenseOp>(network.nodes.front().op);
  const auto x = random_floats(static_cast<std::size_t>(one.samples * one.in), 1);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * one.out), 2);
  const auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  const BlockResult actual = run(network, one.samples, x, dy, slab, options);

  const reference::Context context{.samples = one.samples,
                                   .weight = to_double(part(network, slab, op.weight)),
                                   .bias = to_double(part(network, slab, op.bias)),
                                   .rows = {}};
  reference::Context magnitudes = context;
  magnitudes.weight = absolute(context.weight);
  magnitudes.bias = absolute(context.bias);
  auto y = reference::forward(op, context, to_double(x));
  auto diff = to_double(dy);
  if (options.relu_follows) {
    for (double& value : y) value = std::max(value, 0.0);
    for (std::size_t i = 0; i < diff.size(); ++i) diff[i] = actual.y[i] > 0 ? diff[i] : 0;
  }
  const auto gradients = reference::backward(op, context, to_double(x), y, diff);
  const auto x_magnitude = absolute(to_double(x));
  const auto bounds = reference::backward(op, magnitudes, x_magnitude, y, absolute(diff));

  expect_within(actual.y, y, reference::forward(op, magnitudes, x_magnitude), static_cast<double>(one.in) + 2,
                "y");
  if (options.mode == device::Mode::evaluation) return;
  const auto samples = static_cast<double>(one.samples);
  expect_within(part(network, actual.gradient, op.weight), gradients.weight, bounds.weight, samples + 2,
                "weight gradient");
  expect_within(part(network, actual.gradient, op.bias), gradients.bias, bounds.bias, samples + 2,
                "bias gradient");
  if (options.data_gradient)
    expect_within(actual.dx, gradients.x, bounds.x, static_cast<double>(one.out) + 2, "dx");
  else
    EXPECT_TRUE(actual.dx.empty());
}

std::string PoolingCase::text() const {
  return fmt::format("{} of {} samples of {}×{}×{}, window {}×{}, stride {}, {}, padding {} {} {} {}",
                     op.kind == Pool2dOp::Kind::max ? "maximum" : "mean", samples, op.channels, op.in_height,
                     op.in_width, op.size_height, op.size_width, op.stride_height, op.stride_width,
                     op.pad_top, op.pad_bottom, op.pad_left, op.pad_right);
}

PoolingCase draw_pooling(Pool2dOp::Kind kind, std::uint32_t seed) {
  std::mt19937 generator(seed);
  const auto pick = [&](std::initializer_list<std::int64_t> values) {
    return *(values.begin() + generator() % values.size());
  };
  Pool2dOp op{.kind = kind,
              .channels = pick({1, 2, 3, 5, 8, 13, 16, 17, 24}),
              .in_height = pick({4, 5, 7, 8, 11, 12}),
              .in_width = pick({4, 5, 7, 8, 11, 12}),
              .size_height = pick({1, 2, 2, 3, 4}),
              .size_width = pick({1, 2, 2, 3, 4}),
              .stride_height = pick({1, 2, 2, 3}),
              .stride_width = pick({1, 2, 2, 3})};
  op.pad_top = pick({0, 0, 1, 2}) % op.size_height;
  op.pad_bottom = pick({0, 0, 1, 2}) % op.size_height;
  op.pad_left = pick({0, 0, 1, 2}) % op.size_width;
  op.pad_right = pick({0, 0, 1, 2}) % op.size_width;
  op.out_height = (op.in_height + op.pad_top + op.pad_bottom - op.size_height) / op.stride_height + 1;
  op.out_width = (op.in_width + op.pad_left + op.pad_right - op.size_width) / op.stride_width + 1;
  return {op, pick({1, 2, 3, 16})};
}

Network network_of(const Pool2dOp& op) {
  Network network;
  network.input = {op.channels, op.in_height, op.in_width};
  const Shape out{op.channels, op.out_height, op.out_width};
  network.nodes.push_back({"pool", op, network.input, out});
  network.classes = out.count();
  return network;
}

void check_layer(const RunLayer& run, const PoolingCase& one, int levels, const BlockOptions& options) {
  SCOPED_TRACE(one.text());
  const Network network = network_of(one.op);
  auto x = random_floats(static_cast<std::size_t>(one.samples * network.input.count()), 1);
  if (levels > 0)
    for (float& value : x)
      value = std::floor(value * static_cast<float>(levels)) / static_cast<float>(levels);
  if (options.masks_relu)
    for (float& value : x) value = std::max(value, 0.0F);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * network.classes), 2);
  const BlockResult actual = run(network, one.samples, x, dy, {}, options);

  const reference::Context context{.samples = one.samples, .weight = {}, .bias = {}, .rows = {}};
  const auto y = reference::forward(one.op, context, to_double(x));
  auto diff = to_double(dy);
  if (options.masks_relu)
    for (std::size_t i = 0; i < y.size(); ++i) diff[i] = y[i] > 0 ? diff[i] : 0;
  const auto dx = reference::backward(one.op, context, to_double(x), y, diff).x;
  const auto y_magnitude = reference::forward(one.op, context, absolute(to_double(x)));
  const auto dx_magnitude = reference::backward(one.op, context, to_double(x), y, absolute(diff)).x;

  const auto window = static_cast<double>(one.op.size_height * one.op.size_width);
  const bool is_max = one.op.kind == Pool2dOp::Kind::max;
  expect_within(actual.y, y, absolute(y_magnitude), is_max ? 0 : window + 2, "y");
  // Up to `window` windows share a cell; a mean adds a division to each.
  expect_within(actual.dx, dx, dx_magnitude, window + 2, "dx");
}

}  // namespace lockstep::testing
