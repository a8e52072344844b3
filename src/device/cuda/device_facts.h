#pragma once

#include <string>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// Makes the device the calling thread's, and fills in how much of its memory is free. Error(no_device) if
/// nothing can be run on it.
void start_device(DeviceFacts& facts);

/// "13.0" of 13000, as CUDA counts.
std::string version_text(int version);

}  // namespace lockstep::device::cuda
