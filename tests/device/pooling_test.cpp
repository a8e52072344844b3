#include <gtest/gtest.h>

#include "base/error.h"
#include "device/block_harness.h"
#include "device/layer_cases.h"

namespace lockstep::testing {
namespace {

using device::Pool2dOp;

const RunLayer run = [](const auto&... arguments) { return run_block(arguments...); };

TEST(PoolingMax, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 100; ++seed)
    check_layer(run, draw_pooling(Pool2dOp::Kind::max, seed), 0, {.offer_blocked = seed % 2 == 1});
}

TEST(PoolingMax, gives_ties_to_the_first_in_row_major_order) {
  for (std::uint32_t seed = 0; seed < 60; ++seed)
    check_layer(run, draw_pooling(Pool2dOp::Kind::max, seed), 2, {.offer_blocked = seed % 2 == 1});
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
    check_layer(run, draw_pooling(Pool2dOp::Kind::max, seed), 2,
                {.masks_relu = true, .offer_blocked = seed % 2 == 1});
}

TEST(PoolingAverage, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 100; ++seed)
    check_layer(run, draw_pooling(Pool2dOp::Kind::average, seed), 0, {.offer_blocked = seed % 2 == 1});
}

TEST(PoolingMax, refuses_a_window_that_may_lie_in_the_padding) {
  Pool2dOp op = draw_pooling(Pool2dOp::Kind::max, 1).op;
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
