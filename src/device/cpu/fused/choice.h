#pragma once

#include <cstdint>

#include "device/cpu/block.h"

/// Which nodes a fused block covers, and with which kernels it computes them.
namespace lockstep::device::cpu::fused {

/// What the nodes behind a convolution allow.
struct Pattern {
  bool relu = false, pool = false;
  bool plain_dst = false;  ///< the layers behind want C, H, W
};
Pattern match(const Site& site);

/// winograd, direct or onednn. By extents alone, not by timing or the number of samples: all ranks must
/// choose the same, training the same as evaluation, and plans of all sizes the same packed weights.
ConvolutionMethod choose(const Conv2dOp& op, const Site& site);

/// Extent of the output tiles of the Winograd kernels for such a convolution, behind which a 2×2 max-pool may
/// follow: 4 where that means fewer products and the transformed weights are not too large, else 2.
std::int64_t winograd_tile(const Conv2dOp& op, bool pool);

/// Whether the instruction set that the ranks have agreed on has fused multiply-adds; without them own
/// kernels are slow.
bool processor_suits();

}  // namespace lockstep::device::cpu::fused
