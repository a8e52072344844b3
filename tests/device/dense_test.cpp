#include <gtest/gtest.h>

#include <utility>

#include "device/block_harness.h"
#include "device/layer_cases.h"

namespace lockstep::testing {
namespace {

/// By own kernels, where the mode and the layer leave it to these, and by oneDNN.
void check_both_ways(const DenseCase& layer, BlockOptions options) {
  using enum device::ConvolutionMethod;
  const RunLayer run = [](const auto&... arguments) { return run_block(arguments...); };
  for (const device::ConvolutionMethod method : {automatic, onednn}) {
    SCOPED_TRACE(method == onednn ? "onednn" : "automatic");
    options.convolutions = method;
    check_layer(run, layer, options);
  }
}

TEST(Dense, agrees_with_loops_for_any_size) {
  for (const std::int64_t samples : {1, 2, 3, 12, 16})
    for (const std::int64_t in : {1, 7, 64, 131})
      for (const std::int64_t out : {1, 10, 33, 64})
        check_both_ways(DenseCase{samples, in, out, (in + out) % 3 != 0},
                        {.relu_follows = (samples + in) % 2 == 0});
}

/// With more samples, inputs and outputs than are taken at a time, and too few outputs for packed weights.
TEST(Dense, agrees_with_loops_for_large_layers) {
  for (const std::int64_t samples : {1, 70})
    for (const bool bias : {false, true})
      for (const auto& [in, out] : {std::pair{801, 131}, std::pair{6600, 10}, std::pair{70, 1000}})
        check_both_ways(DenseCase{samples, in, out, bias}, {.relu_follows = bias});
}

TEST(Dense, agrees_with_loops_for_the_layers_of_the_mnist_networks) {
  for (const std::int64_t samples : {1, 12, 16}) {
    check_both_ways(DenseCase{samples, 768, 512}, {.relu_follows = true});
    check_both_ways(DenseCase{samples, 512, 10}, {});
    check_both_ways(DenseCase{samples, 784, 10}, {.data_gradient = false});
    check_both_ways(DenseCase{samples, 784, 10}, {.mode = device::Mode::evaluation, .relu_follows = true});
  }
}

}  // namespace
}  // namespace lockstep::testing
