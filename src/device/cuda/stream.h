#pragma once

#include <cuda_runtime.h>

#include <memory>

#include "base/unique_handle.h"
#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// For those who queue with CUDA's own calls: the stream that `stream` stands for. It must be one of a CUDA
/// accelerator.
cudaStream_t native(Stream& stream);

std::unique_ptr<Stream> make_stream(int device);

}  // namespace lockstep::device::cuda
