#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "device/cpu/fused/kernels.h"

/// Runs the fused kernels, and computes what they should give in double precision.
namespace lockstep::testing {

namespace fused = device::cpu::fused;

/// winograd2: with tiles of 2×2 outputs; winograd4: of 4×4.
enum class Way : std::uint8_t { winograd2, winograd4, direct };
inline bool is_winograd(Way way) {
  return way != Way::direct;
}
const fused::Method& method_of(const fused::Kernels& kernels, Way way, std::int64_t kernel);

struct FusedCase {
  Way way = Way::winograd2;
  fused::Problem problem;
  bool bias = true, data_gradient = true;
  [[nodiscard]] std::string text() const;
};
/// A geometry drawn from all that the kernels may be asked for: one channel and a hundred, one image, odd
/// extents, any padding.
FusedCase draw_fused(std::uint32_t seed);

/// With as many outputs as inputs: the padding and the outputs' extents are filled in. With a data gradient
/// where the kernels compute one.
FusedCase padded_case(Way way, const fused::Problem& problem);
/// The first layer of the MNIST network, on three samples.
FusedCase first_of_mnist();

/// Everything channels-last but weights, whatever the problem's own layouts.
struct FusedInputs {
  std::vector<float> x, weights, bias, dy;
};
/// For every third seed the images have a background of zeros.
FusedInputs draw_inputs(const FusedCase& one, std::uint32_t seed);

/// Chooses biases with which about three in ten windows are alive behind a ReLU and a pool: the gradients
/// then take another way. The case must have them.
void let_few_live(const FusedCase& one, FusedInputs& inputs);
/// Of windows and channels, behind a ReLU and a pool.
double alive_share(const std::vector<std::uint8_t>& record);
/// Whether the gradients are made from alive outputs only, if all numbers are finite.
bool goes_by_the_alive(const FusedCase& one, const std::vector<std::uint8_t>& record);

/// From channels-last (or whatever of the two axes is outer) to C, H, W and back.
std::vector<float> reordered(const std::vector<float>& from, std::int64_t samples, std::int64_t outer,
                             std::int64_t inner);

struct FusedOutputs {
  std::vector<float> y, dweights, dbias, dx;
  std::vector<std::uint8_t> record;  ///< for each window row, window, channel; no padding
};
/// Runs forward and backward in memory filled with NaN beforehand; nothing may be read that was not written.
FusedOutputs run_fused(const fused::Kernels& kernels, const FusedCase& one, const FusedInputs& inputs);

/// Doubles, by the definition of each operation. The gradient takes the path that `record` names.
struct FusedExpected {
  std::vector<double> z;  ///< convolution and bias, [sample][row][column][channel]
  std::vector<double> y, dweights, dbias, dx;
};
FusedExpected expect_fused(const FusedCase& one, const FusedInputs& inputs,
                           const std::vector<std::uint8_t>& record);

/// How far floats may be off, element by element.
///
/// Each result is a sum of products that are rounded k times at most on their way, in whatever order: then it
/// is off by at most k u / (1 - k u) times the sum of their magnitudes, u = 2⁻²⁴ (Higham, "Accuracy and
/// Stability of Numerical Algorithms", 3.1). For the direct kernels k is the number of products and the
/// magnitude their sum with absolute values. Winograd's sums run through the transform domain: the magnitude
/// is what the same algorithm gives when each matrix and each number is replaced by its absolute value, and k
/// is the length of the sum there, and 2 n for each of the transforms of n points (one more for the rounded
/// matrix of the filters). Where few windows are alive, their gradients are direct sums, too.
struct FusedBounds {
  std::vector<double> z, dweights, dbias, dx;
};
FusedBounds bound_fused(const FusedCase& one, const FusedInputs& inputs,
                        const std::vector<std::uint8_t>& record);

/// Fails the test where an output is further off than that.
void expect_within_bounds(const FusedCase& one, const FusedInputs& inputs, const FusedOutputs& actual);

/// Fail the test where bits differ.
void expect_same_bits(const std::vector<float>& actual, const std::vector<float>& expected, const char* what);
void expect_same_outputs(const FusedOutputs& actual, const FusedOutputs& expected);

}  // namespace lockstep::testing
