#include <fmt/core.h>
#include <gtest/gtest.h>

#include "device/block_harness.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using device::DenseOp;

struct Case {
  std::int64_t samples, in, out;
  bool bias = true;
};

void check_case(const Case& one, const BlockOptions& options) {
  SCOPED_TRACE(
      fmt::format("{} samples, {} to {}{}", one.samples, one.in, one.out, one.bias ? "" : ", no bias"));
  const auto network = NetworkBuilder({one.in}).dense(one.out, one.bias).build();
  const auto& op = std::get<DenseOp>(network.nodes.front().op);
  const auto x = random_floats(static_cast<std::size_t>(one.samples * one.in), 1);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * one.out), 2);
  const auto slab = random_floats(static_cast<std::size_t>(network.parameters.slab_size()), 3);
  const BlockResult actual = run_block(network, one.samples, x, dy, slab, options);

  const auto part = [&](const std::vector<float>& from, int index) {
    if (index < 0) return std::vector<float>();
    const auto begin = from.begin() + network.parameters[index].offset;
    return std::vector<float>(begin, begin + network.parameters[index].count);
  };
  const reference::Context context{.samples = one.samples,
                                   .weight = to_double(part(slab, op.weight)),
                                   .bias = to_double(part(slab, op.bias)),
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
  expect_within(part(actual.gradient, op.weight), gradients.weight, bounds.weight, samples + 2,
                "weight gradient");
  expect_within(part(actual.gradient, op.bias), gradients.bias, bounds.bias, samples + 2, "bias gradient");
  if (options.data_gradient)
    expect_within(actual.dx, gradients.x, bounds.x, static_cast<double>(one.out) + 2, "dx");
  else
    EXPECT_TRUE(actual.dx.empty());
}

TEST(Dense, agrees_with_loops_for_any_size) {
  for (const std::int64_t samples : {1, 2, 3, 12, 16})
    for (const std::int64_t in : {1, 7, 64, 131})
      for (const std::int64_t out : {1, 10, 33, 64})
        check_case({samples, in, out, (in + out) % 3 != 0}, {.relu_follows = (samples + in) % 2 == 0});
}

TEST(Dense, agrees_with_loops_for_the_layers_of_the_mnist_networks) {
  for (const std::int64_t samples : {1, 12, 16}) {
    check_case({samples, 768, 512}, {.relu_follows = true});
    check_case({samples, 512, 10}, {});
    check_case({samples, 784, 10}, {.data_gradient = false});
    check_case({samples, 784, 10}, {.mode = device::Mode::evaluation, .relu_follows = true});
  }
}

}  // namespace
}  // namespace lockstep::testing
