#pragma once

#include <memory>

#include "device/cpu/block.h"

namespace lockstep::device::cpu {

/// A convolution by oneDNN in blocked layouts, with the ReLU behind it.
std::unique_ptr<Block> make_block(const Conv2dOp& op, const Site& site);

}  // namespace lockstep::device::cpu
