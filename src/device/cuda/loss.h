#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "config/experiment.h"
#include "device/backend.h"

namespace lockstep::device::cuda {

/// What a loss is of; addresses are the device's.
struct LossArguments {
  config::Loss kind = config::Loss::softmax_cross_entropy;
  std::int64_t samples = 0, classes = 0;
  const float* outputs = nullptr;  ///< samples × classes
  const std::int32_t* labels = nullptr;
  float* gradient = nullptr;        ///< samples × classes, or null where none is asked for
  double* sample_losses = nullptr;  ///< scratch memory, one for each sample, as is the next
  std::int32_t* sample_correct = nullptr;
};

/// Queues the loss of a shard, as device/cpu/loss.h defines it, and its sums over the samples into `totals`.
/// A label outside the row makes the sample's loss and gradient NaN.
void queue_loss(cudaStream_t stream, const LossArguments& arguments, Totals* totals);

}  // namespace lockstep::device::cuda
