#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "device/block_harness.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using device::Network;
using device::Pool2dOp;

struct Case {
  Pool2dOp op;
  std::int64_t samples;
  [[nodiscard]] std::string text() const {
    return fmt::format("{} of {} samples of {}×{}×{}, window {}×{}, stride {}, {}, padding {} {} {} {}",
                       op.kind == Pool2dOp::Kind::max ? "maximum" : "mean", samples, op.channels,
                       op.in_height, op.in_width, op.size_height, op.size_width, op.stride_height,
                       op.stride_width, op.pad_top, op.pad_bottom, op.pad_left, op.pad_right);
  }
};

Case draw(Pool2dOp::Kind kind, std::uint32_t seed) {
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

/// `levels` > 0 rounds the input to so many values, which makes ties.
void check_case(const Case& one, int levels, const BlockOptions& options) {
  SCOPED_TRACE(one.text());
  const Network network = network_of(one.op);
  auto x = random_floats(static_cast<std::size_t>(one.samples * network.input.count()), 1);
  if (levels > 0)
    for (float& value : x)
      value = std::floor(value * static_cast<float>(levels)) / static_cast<float>(levels);
  if (options.masks_relu)
    for (float& value : x) value = std::max(value, 0.0F);
  const auto dy = random_floats(static_cast<std::size_t>(one.samples * network.classes), 2);
  const BlockResult actual = run_block(network, one.samples, x, dy, {}, options);

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

TEST(PoolingMax, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 100; ++seed)
    check_case(draw(Pool2dOp::Kind::max, seed), 0, {.offer_blocked = seed % 2 == 1});
}

TEST(PoolingMax, gives_ties_to_the_first_in_row_major_order) {
  for (std::uint32_t seed = 0; seed < 60; ++seed)
    check_case(draw(Pool2dOp::Kind::max, seed), 2, {.offer_blocked = seed % 2 == 1});
}

TEST(PoolingMax, lets_no_padding_win_over_negative_cells) {
  Pool2dOp op{.kind = Pool2dOp::Kind::max,
              .channels = 3,
              .in_height = 4,
              .in_width = 4,
              .out_height = 3,
              .out_width = 3,
              .size_height = 2,
              .size_width = 2,
              .stride_height = 2,
              .stride_width = 2,
              .pad_top = 1,
              .pad_bottom = 1,
              .pad_left = 1,
              .pad_right = 1};
  const std::vector<float> x(2 * 3 * 16, -7.5F);
  const std::vector<float> dy(2 * 3 * 9, 1.0F);
  const auto actual = run_block(network_of(op), 2, x, dy, {});
  EXPECT_EQ(actual.y, std::vector<float>(2 * 3 * 9, -7.5F));
  // Of the four cells of each inner window the first takes all.
  const std::vector<float> plane = {1, 1, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1};
  for (std::size_t i = 0; i < actual.dx.size(); ++i) EXPECT_EQ(actual.dx[i], plane[i % 16]) << i;
}

TEST(PoolingMax, hands_down_no_gradient_where_the_relu_before_it_was_zero) {
  for (std::uint32_t seed = 0; seed < 40; ++seed)
    check_case(draw(Pool2dOp::Kind::max, seed), 2, {.masks_relu = true, .offer_blocked = seed % 2 == 1});
}

TEST(PoolingAverage, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 100; ++seed)
    check_case(draw(Pool2dOp::Kind::average, seed), 0, {.offer_blocked = seed % 2 == 1});
}

TEST(PoolingMax, refuses_a_window_that_may_lie_in_the_padding) {
  Pool2dOp op = draw(Pool2dOp::Kind::max, 1).op;
  op.pad_left = op.size_width;
  try {
    run_block(network_of(op), 1, {}, {}, {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_NE(std::string(error.what()).find("layer pool"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lockstep::testing
