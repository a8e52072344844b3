#pragma once

#include <cstdint>
#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu::fused {

/// Weights of layers with fewer than so many are in the caches anyway.
inline constexpr std::int64_t large_layer = std::int64_t{64} * 1024;
/// Of larger weights a packed copy would need much memory.
inline constexpr std::int64_t most_copied = std::int64_t{4} << 20;
/// Whether a dense layer is computed by own kernels in training: by extents alone, as all ranks must choose
/// the same.
bool is_large_dense(const DenseOp& op, ConvolutionMethod convolutions);

/// A large dense layer by own kernels, with the ReLU behind it; null where it is left to oneDNN.
std::unique_ptr<Block> make_large_dense(const DenseOp& op, const Site& site);

}  // namespace lockstep::device::cpu::fused
