#pragma once

#include <cstdint>
#include <span>

#include "device/backend.h"
#include "train/blueprint.h"

namespace lockstep::train {

/// Bytes that a rank holds while it trains, by purpose. The program itself and its libraries come on top.
struct RankMemory {
  std::int64_t data = 0;     ///< stripes of the training and validation sets, with labels
  std::int64_t batches = 0;  ///< the loaders' slots
  std::int64_t weights = 0;  ///< the weights' slab, and their average's
  std::int64_t gradients =
      0;  ///< slabs of the reduction tree; without the buffers of an exchange by messages
  std::int64_t optimizer = 0;    ///< the state of the rank's slice
  std::int64_t activations = 0;  ///< plans and the workers' activations and scratch
  std::int64_t checks = 0;       ///< plans and buffers of the arithmetic check
  [[nodiscard]] std::int64_t total() const {
    return data + batches + weights + gradients + optimizer + activations + checks;
  }
};

/// Computed from the blueprint alone, with plans made for their sizes. `threads`: of each rank. All ranks are
/// taken to be on one host: on CPUs the first keeps the packed weights of all.
RankMemory rank_memory(const Blueprint& blueprint, device::Backend& backend,
                       std::span<const std::int64_t> threads, int rank);

}  // namespace lockstep::train
