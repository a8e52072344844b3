#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "comm/gradient_reducer.h"
#include "optim/optimizer.h"
#include "train/divergence.h"
#include "train/memory_check.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// Turns a step's partial sums into new weights: exchange, finish the sums, apply the optimizer and take the
/// hash, block by block while a block is in the cache, on all workers. GradientReducer::end(), or
/// hand_on(), must follow, by which others get the new weights.
class Updater {
 public:
  Updater(comm::GradientReducer& reducer, optim::Optimizer& optimizer, MemoryCheck& memory,
          WorkerPool& workers);

  /// Collective; call Optimizer::begin_step before. Returns the first number in this rank's part that is not
  /// finite, in which case weights or state are spoilt.
  std::optional<NotFinite> apply(std::span<const comm::Partial> partials, const comm::CompleteSums& complete,
                                 std::int64_t samples, std::span<float> weights);

 private:
  std::optional<NotFinite> update_block(std::int64_t first, float samples, std::span<float> weights);
  NotFinite locate(std::int64_t first, std::span<const float> gradient, std::span<const float> weights);

  comm::GradientReducer& reducer_;
  optim::Optimizer& optimizer_;
  MemoryCheck& memory_;
  WorkerPool& workers_;
  std::vector<std::optional<NotFinite>> found_;  // by worker, the lowest
};

}  // namespace lockstep::train
