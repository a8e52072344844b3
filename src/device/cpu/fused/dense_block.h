#pragma once

#include <cstdint>
#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu::fused {

/// Of weights beyond so many a packed copy would need much memory.
inline constexpr std::int64_t most_copied = std::int64_t{4} << 20;
/// Whether the forward pass of own kernels reads packed weights and leaves out zeros. With few outputs there
/// are too few sums to hide the latency of a multiply-add, and packing would take longer than the product.
bool packs_dense(std::int64_t in, std::int64_t out);
/// Whether the weights are so large that to read them for each shard takes longer than what shards lose that
/// form a group: they find less of their own in the caches.
bool has_large_weights(std::int64_t in, std::int64_t out);
/// Whether own kernels compute the dense layers: in training all, in evaluation those that they are faster at
/// or that nobody packs.
bool has_own_dense(ConvolutionMethod convolutions);

/// A dense layer by own kernels, with the ReLU behind it; null where it is left to oneDNN.
std::unique_ptr<Block> make_dense_block(const DenseOp& op, const Site& site);

}  // namespace lockstep::device::cpu::fused
