#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// An activation function that no block before it took over: element by element, in own code.
std::unique_ptr<Block> make_block(const ActivationOp& op, const Site& site);

}  // namespace lockstep::device::cpu
