#include <gtest/gtest.h>

#include "device/block_harness.h"
#include "device/layer_cases.h"
#include "device/numbers.h"

namespace lockstep::testing {
namespace {

using device::Network;

/// By oneDNN: fused_kernels_test.cpp is about the others.
const RunLayer run = [](const Network& network, std::int64_t samples, const std::vector<float>& x,
                        const std::vector<float>& dy, const std::vector<float>& slab, BlockOptions options) {
  options.convolutions = device::ConvolutionMethod::onednn;
  return run_block(network, samples, x, dy, slab, options);
};

TEST(Convolution, agrees_with_loops_for_any_geometry) {
  for (std::uint32_t seed = 0; seed < 120; ++seed)
    check_layer(run, draw_convolution(seed), {.offer_blocked = seed % 2 == 1});
}

TEST(Convolution, takes_over_a_relu) {
  for (std::uint32_t seed = 200; seed < 230; ++seed)
    check_layer(run, draw_convolution(seed), {.relu_follows = true, .pool_masks_relu = seed % 3 == 0});
}

TEST(Convolution, leaves_out_the_data_gradient_of_the_lowest_layer) {
  for (std::uint32_t seed = 300; seed < 310; ++seed)
    check_layer(run, draw_convolution(seed), {.data_gradient = false});
}

TEST(Convolution, is_the_layer_of_the_mnist_network) {
  for (const std::int64_t samples : {1, 12, 16}) {
    check_layer(run, square_convolution(1, 28, 24, samples), {.data_gradient = false, .relu_follows = true});
    check_layer(run, square_convolution(24, 12, 48, samples), {.relu_follows = true, .offer_blocked = true});
  }
}

TEST(Convolution, agrees_when_planned_for_evaluation) {
  for (std::uint32_t seed = 400; seed < 420; ++seed)
    check_layer(run, draw_convolution(seed),
                {.mode = device::Mode::evaluation, .relu_follows = seed % 2 == 0});
}

TEST(Convolution, gives_the_same_bits_in_evaluation_as_in_training) {
  for (std::uint32_t seed = 400; seed < 420; ++seed) {
    const ConvolutionCase one = draw_convolution(seed);
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
