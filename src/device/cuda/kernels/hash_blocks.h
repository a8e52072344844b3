#pragma once

#include <cuda_runtime.h>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::hash_blocks.
void hash_blocks(cudaStream_t stream, DeviceSpan<const float> values, std::uint64_t first_seed,
                 DeviceSpan<std::uint64_t> hashes);

}  // namespace lockstep::device::cuda
