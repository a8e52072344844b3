#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::allocate and allocate_pinned. None of 0 bytes: its address is null.
std::unique_ptr<Memory> allocate_device_memory(int device, std::int64_t bytes);
std::unique_ptr<Memory> allocate_pinned_memory(int device, std::int64_t bytes);

/// Says how much is free on the calling thread's current device, and what takes less. `function`, of a
/// library, has found no room for `what`.
[[noreturn]] void fail_for_room(std::string_view library, std::string_view function, std::string_view what);

}  // namespace lockstep::device::cuda
