#pragma once

#include <cstdint>
#include <memory>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::allocate and allocate_pinned. None of 0 bytes: its address is null.
std::unique_ptr<Memory> allocate_device_memory(int device, std::int64_t bytes);
std::unique_ptr<Memory> allocate_pinned_memory(int device, std::int64_t bytes);

}  // namespace lockstep::device::cuda
