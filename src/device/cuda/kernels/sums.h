#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// The most partial sums that one kernel adds: the program of additions travels with its arguments.
inline constexpr std::size_t max_partial_sums = 3584;

/// See Accelerator::sum and mean. Error(bad_config) if there are more than max_partial_sums.
void sum(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
         std::span<const TreeAddition> additions, DeviceSpan<float> sum);
void mean(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
          std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
          DeviceSpan<float> mean);

}  // namespace lockstep::device::cuda
