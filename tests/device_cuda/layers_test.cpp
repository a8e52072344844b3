#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "device_cuda/layer_harness.h"

namespace lockstep::testing {
namespace {

using config::Precision;
using device::Pool2dOp;

class CudaLayers : public ::testing::Test {
 protected:
  const StandinDevice device_;
  const RunLayer run_ = [this](const auto&... arguments) {
    return run_layer(device_, Precision::fp32, arguments...);
  };
};

class CudaConvolution : public CudaLayers {};
class CudaDense : public CudaLayers {};
class CudaPooling : public CudaLayers {};

TEST_F(CudaConvolution, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 120; ++seed) check_layer(run_, draw_convolution(seed), {});
}

TEST_F(CudaConvolution, takes_over_a_relu) {
  for (std::uint32_t seed = 200; seed < 240; ++seed)
    check_layer(run_, draw_convolution(seed), {.relu_follows = true, .pool_masks_relu = seed % 3 == 0});
}

TEST_F(CudaConvolution, leaves_out_the_data_gradient_of_the_lowest_layer) {
  for (std::uint32_t seed = 300; seed < 310; ++seed)
    check_layer(run_, draw_convolution(seed), {.data_gradient = false});
}

TEST_F(CudaConvolution, agrees_when_planned_for_evaluation) {
  for (std::uint32_t seed = 400; seed < 420; ++seed)
    check_layer(run_, draw_convolution(seed),
                {.mode = device::Mode::evaluation, .relu_follows = seed % 2 == 0});
}

TEST_F(CudaConvolution, is_the_layer_of_the_mnist_network) {
  check_layer(run_, square_convolution(1, 28, 24, 16), {.data_gradient = false, .relu_follows = true});
  check_layer(run_, square_convolution(24, 12, 48, 5), {.relu_follows = true});
}

TEST_F(CudaConvolution, sums_more_cells_than_one_block_of_threads_takes) {
  // 9216 cells a channel, in nine pieces.
  check_layer(run_, square_convolution(1, 28, 2, 16), {.relu_follows = true});
}

TEST_F(CudaDense, agrees_with_loops_for_any_size) {
  for (const std::int64_t samples : {1, 2, 3, 12, 16, 33, 70})
    for (const std::int64_t in : {1, 7, 64, 131})
      for (const std::int64_t out : {1, 10, 33, 64})
        check_layer(run_, DenseCase{samples, in, out, (in + out) % 3 != 0},
                    {.relu_follows = (samples + in) % 2 == 0});
}

TEST_F(CudaDense, leaves_out_what_is_not_asked_for) {
  check_layer(run_, DenseCase{16, 78, 10}, {.data_gradient = false});
  check_layer(run_, DenseCase{16, 78, 10}, {.mode = device::Mode::evaluation, .relu_follows = true});
}

TEST_F(CudaPooling, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 100; ++seed) {
    check_layer(run_, draw_pooling(Pool2dOp::Kind::max, seed), 0, {});
    check_layer(run_, draw_pooling(Pool2dOp::Kind::average, seed), 0, {});
  }
}

TEST_F(CudaPooling, gives_ties_to_the_first_in_row_major_order) {
  for (std::uint32_t seed = 0; seed < 60; ++seed)
    check_layer(run_, draw_pooling(Pool2dOp::Kind::max, seed), 2, {});
}

TEST_F(CudaPooling, hands_down_no_gradient_where_the_relu_before_it_was_zero) {
  for (std::uint32_t seed = 0; seed < 40; ++seed)
    check_layer(run_, draw_pooling(Pool2dOp::Kind::max, seed), 2, {.masks_relu = true});
}

/// Windows that tile a plane, which has cells over.
TEST_F(CudaPooling, leaves_zeros_where_no_window_is) {
  struct Plane {
    std::int64_t height, width, size;
  };
  for (const auto kind : {Pool2dOp::Kind::max, Pool2dOp::Kind::average})
    for (const auto& [height, width, size] : {Plane{5, 5, 2}, {5, 4, 2}, {4, 5, 2}, {7, 8, 3}, {9, 11, 5}})
      for (const bool masks_relu : {false, kind == Pool2dOp::Kind::max}) {
        const Pool2dOp op{.kind = kind,
                          .channels = 3,
                          .in_height = height,
                          .in_width = width,
                          .out_height = height / size,
                          .out_width = width / size,
                          .size_height = size,
                          .size_width = size,
                          .stride_height = size,
                          .stride_width = size};
        check_layer(run_, PoolingCase{op, 2}, masks_relu ? 3 : 0, {.masks_relu = masks_relu});
      }
}

TEST_F(CudaPooling, refuses_a_window_that_may_lie_in_the_padding) {
  Pool2dOp op = draw_pooling(Pool2dOp::Kind::max, 1).op;
  op.pad_left = op.size_width;
  try {
    run_(network_of(op), 1, {}, {}, {}, {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_NE(std::string(error.what()).find("layer pool"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lockstep::testing
