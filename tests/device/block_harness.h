#pragma once

#include <cstdint>
#include <vector>

#include "device/cpu/block.h"
#include "device/reference_ops.h"

namespace lockstep::testing {

/// How a block is asked for; see device::cpu::Site.
struct BlockOptions {
  device::Mode mode = device::Mode::training;
  bool data_gradient = true;
  device::ConvolutionMethod convolutions = device::ConvolutionMethod::automatic;
  bool relu_follows = false, pool_masks_relu = false, masks_relu = false;
  bool offer_blocked = false;  ///< the block before leaves channels in groups of eight
};

struct BlockResult {
  std::vector<float> y, dx;  ///< plain; dx is empty where none was asked for
  std::vector<float> gradient;
  std::vector<std::string> implementations;
};

/// Runs the first node of `network` through its block, forward and (in training) backward, in memory filled
/// with NaN beforehand; fails the test when a cell of y or dx keeps its NaN, padding included.
BlockResult run_block(const device::Network& network, std::int64_t samples, const std::vector<float>& x,
                      const std::vector<float>& dy, const std::vector<float>& slab,
                      const BlockOptions& options = {}, const device::cpu::Pass& pass = {});

/// Numbers in [-1, 1), the same for the same seed.
std::vector<float> random_floats(std::size_t count, std::uint32_t seed);
reference::Values to_double(const std::vector<float>& values);
reference::Values absolute(reference::Values values);

/// |actual - expected| <= factor · 2^-24 · magnitude, element by element. For a sum of n products computed in
/// any order, factor n + 2 and magnitude Σ |terms| is the classical bound (Higham, "Accuracy and Stability of
/// Numerical Algorithms", 3.1).
void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                   const reference::Values& magnitude, double factor, const std::string& what);

}  // namespace lockstep::testing
