#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// A pooling layer by oneDNN, in the layout of the layer before it.
std::unique_ptr<Block> make_block(const Pool2dOp& op, const Site& site);

}  // namespace lockstep::device::cpu
