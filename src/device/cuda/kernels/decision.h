#pragma once

#include <cuda_runtime.h>

#include "device/accelerator.h"

namespace lockstep::device::cuda {

/// See Accelerator::find and decide.
void find(cudaStream_t stream, const StepEvidence& evidence, DeviceSpan<StepFindings> findings);
void decide(cudaStream_t stream, DeviceSpan<const StepFindings> of_ranks, WeightsOwner owner,
            DeviceSpan<std::uint32_t> halted, DeviceSpan<UpdateArguments> arguments);

}  // namespace lockstep::device::cuda
