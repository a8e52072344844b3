#pragma once

#include <cuda_runtime.h>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::gather.
void gather(cudaStream_t stream, const StoredSamples& stored, DeviceSpan<const std::int64_t> positions,
            DeviceSpan<const AffineMap> maps, float scale, DeviceSpan<float> images,
            DeviceSpan<std::int32_t> labels);

}  // namespace lockstep::device::cuda
