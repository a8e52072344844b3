#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// Inverted dropout, element by element in C, H, W order.
std::unique_ptr<Block> make_block(const DropoutOp& op, const Site& site);

}  // namespace lockstep::device::cpu
