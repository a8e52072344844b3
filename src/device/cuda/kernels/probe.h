#pragma once

#include <cuda_runtime.h>

namespace lockstep::device::cuda {

/// Queues a kernel that does nothing. cudaErrorNoKernelImageForDevice where this program was compiled for
/// other devices.
cudaError_t probe(cudaStream_t stream);

}  // namespace lockstep::device::cuda
