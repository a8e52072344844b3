#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// A matrix product by own kernels (fused/dense_block.h) or by oneDNN on plain activations, with the ReLU
/// behind it.
std::unique_ptr<Block> make_block(const DenseOp& op, const Site& site);

}  // namespace lockstep::device::cpu
