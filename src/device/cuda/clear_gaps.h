#pragma once

#include <cuda_runtime.h>

#include <span>

#include "base/partition.h"

namespace lockstep::device::cuda {

/// Writes zeros into these ranges of a slab.
void clear_gaps(cudaStream_t stream, std::span<const Range> gaps, float* slab);

}  // namespace lockstep::device::cuda
