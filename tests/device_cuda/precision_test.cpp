#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "device/network_builder.h"
#include "device/numbers.h"
#include "device_cuda/layer_harness.h"

namespace lockstep::testing {
namespace {

using config::Precision;
using device::Network;

std::vector<float> small_integers(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 3) - 1);
  return values;
}

struct Tensors {
  std::vector<float> x, dy, slab;
};

Tensors tensors_of(const Network& network, std::int64_t samples, auto generate) {
  return {generate(static_cast<std::size_t>(samples * network.input.count()), 1U),
          generate(static_cast<std::size_t>(samples * network.classes), 2U),
          generate(static_cast<std::size_t>(network.parameters.slab_size()), 3U)};
}

class CudaPrecision : public ::testing::TestWithParam<Precision> {
 protected:
  BlockResult run(Precision precision, const Network& network, std::int64_t samples, const Tensors& tensors,
                  const BlockOptions& options) {
    return run_layer(device_, precision, network, samples, tensors.x, tensors.dy, tensors.slab, options);
  }
  const StandinDevice device_;
};

/// Numbers that each type holds exactly, so few that each sum is one, too: any precision must give those
/// of fp32, whatever is padded, converted or cut out on the way.
TEST_P(CudaPrecision, is_exact_where_the_numbers_are) {
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    ConvolutionCase one = draw_convolution(seed);
    one.op.in_channels = std::min<std::int64_t>(one.op.in_channels, 3);
    one.op.out_channels = std::min<std::int64_t>(one.op.out_channels, 4);
    one.samples = std::min<std::int64_t>(one.samples, 1);
    SCOPED_TRACE(one.text());
    const Network network = network_of(one.op);
    const Tensors tensors = tensors_of(network, one.samples, small_integers);
    const BlockOptions options{.relu_follows = seed % 2 == 0, .pool_masks_relu = seed % 4 == 0};
    BlockResult expected = run(Precision::fp32, network, one.samples, tensors, options);
    // By FFT, which the stand-in only claims to use, even exact sums are rounded on their way.
    for (auto* values : {&expected.y, &expected.dx, &expected.gradient})
      for (float& value : *values) value = standin::is_linked() ? value : std::round(value);
    const BlockResult actual = run(GetParam(), network, one.samples, tensors, options);
    EXPECT_EQ(actual.y, expected.y);
    EXPECT_EQ(actual.dx, expected.dx);
    for (const Parameter& parameter : network.parameters.all())
      for (std::int64_t i = parameter.offset; i < parameter.offset + parameter.count; ++i)
        ASSERT_EQ(actual.gradient[static_cast<std::size_t>(i)],
                  expected.gradient[static_cast<std::size_t>(i)]);
  }
}

/// The greatest deviation from fp32 among a layer's outputs, and the greatest output.
struct Deviation {
  double deviation = 0, greatest = 0;
};
Deviation deviation_of(const BlockResult& actual, const BlockResult& exact) {
  Deviation result;
  for (std::size_t i = 0; i < exact.y.size(); ++i) {
    result.greatest = std::max(result.greatest, std::abs(double{exact.y[i]}));
    result.deviation = std::max(result.deviation, std::abs(double{exact.y[i]} - actual.y[i]));
  }
  return result;
}

/// Each product has two rounded factors below one; cuDNN rounds results to bfloat16 once more. Errors do not
/// add up in one direction.
TEST_P(CudaPrecision, rounds_and_no_more_than_it_may) {
  const double unit = GetParam() == Precision::bf16 ? 0x1p-8 : 0x1p-11;
  const auto generate = [](std::size_t count, std::uint32_t seed) { return random_floats(count, seed); };
  const Network dense = NetworkBuilder({125}).dense(40).build();
  const Network convolution = network_of(square_convolution(5, 9, 6, 2).op);
  for (const Network* const network : {&dense, &convolution}) {
    const Tensors tensors = tensors_of(*network, 2, generate);
    const BlockResult exact = run(Precision::fp32, *network, 2, tensors, {});
    const auto [deviation, greatest] = deviation_of(run(GetParam(), *network, 2, tensors, {}), exact);
    EXPECT_LT(deviation, unit * (greatest + 2 * std::sqrt(125)));
    // cuDNN may find an algorithm without tensor cores the best.
    if (network == &dense || GetParam() == Precision::bf16) {
      EXPECT_GT(deviation, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reduced, CudaPrecision, ::testing::Values(Precision::tf32, Precision::bf16),
                         [](const auto& precision) {
                           return precision.param == Precision::tf32 ? "tf32" : "bf16";
                         });

}  // namespace
}  // namespace lockstep::testing
