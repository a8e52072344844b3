#pragma once

#include <cuda_runtime.h>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::sgd_update, adamw_update and take_weights. The same bits as on the processor
/// (cpu/elementwise.cpp).
void sgd_update(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                DeviceSpan<const float> gradient, DeviceSpan<float> velocity, bool momentum,
                DeviceSpan<std::uint32_t> not_finite);
void adamw_update(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                  DeviceSpan<const float> gradient, DeviceSpan<float> moment1, DeviceSpan<float> moment2,
                  DeviceSpan<std::uint32_t> not_finite);
void take_weights(cudaStream_t stream, DeviceSpan<const UpdateArguments> arguments,
                  DeviceSpan<const float> gathered, DeviceSpan<float> weights);

}  // namespace lockstep::device::cuda
