#pragma once

#include <cstdint>
#include <vector>

#include "device/cpu/block.h"
#include "device/layer_cases.h"
#include "device/numbers.h"

namespace lockstep::testing {

/// Runs the first node of `network` through its block, forward and (in training) backward, in memory filled
/// with NaN beforehand; fails the test when a cell of y or dx keeps its NaN, padding included.
BlockResult run_block(const device::Network& network, std::int64_t samples, const std::vector<float>& x,
                      const std::vector<float>& dy, const std::vector<float>& slab,
                      const BlockOptions& options = {}, const device::cpu::Pass& pass = {});

}  // namespace lockstep::testing
