#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// The most partial sums that `mean` adds: the program of additions travels with the kernel's arguments.
inline constexpr std::size_t max_partial_sums = 3584;

/// See Accelerator::add and mean. Requires at most max_partial_sums.
void add(cudaStream_t stream, DeviceSpan<const float> a, DeviceSpan<const float> b, DeviceSpan<float> sum);
void mean(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
          std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
          DeviceSpan<float> mean);

}  // namespace lockstep::device::cuda
