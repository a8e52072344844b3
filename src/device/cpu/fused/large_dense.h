#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu::fused {

/// A large dense layer by own kernels, with the ReLU behind it; null where it is left to oneDNN.
std::unique_ptr<Block> make_large_dense(const DenseOp& op, const Site& site);

}  // namespace lockstep::device::cpu::fused
