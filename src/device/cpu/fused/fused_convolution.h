#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu::fused {

/// A block of Lockstep's own kernels for a convolution and what follows of a ReLU and a 2×2 max-pool, or null
/// where the site's ConvolutionMethod does not choose one: then it is left to oneDNN.
std::unique_ptr<Block> make_fused_convolution(const Conv2dOp& op, const Site& site);

}  // namespace lockstep::device::cpu::fused
