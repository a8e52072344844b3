#pragma once

#include <cstdint>
#include <span>

#include "config/experiment.h"
#include "device/backend.h"

namespace lockstep::device::cpu {

/// The loss of a shard and, where `gradient` is not empty, its gradient with respect to the outputs. Both are
/// sums over the samples: nothing is divided by their number. Computed in double precision with Lockstep's
/// own exp and log.
///
///   softmax_cross_entropy   Σ −ln softmax(x)[label];  gradient softmax(x) − onehot(label)
///   mean_squared_error      Σ mean over the outputs of (x − onehot(label))²
///
/// A sample is correct when the first of its greatest outputs is its label's. With a NaN among its outputs a
/// sample's loss is NaN, and it is not correct. `outputs` holds labels.size() rows of equal length; a label
/// outside the row throws Error(bad_data).
Totals loss_of(config::Loss loss, std::span<const float> outputs, std::span<const std::int32_t> labels,
               std::span<float> gradient);

}  // namespace lockstep::device::cpu
