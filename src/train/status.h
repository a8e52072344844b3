#pragma once

#include <cstdint>
#include <exception>
#include <optional>

#include "comm/world.h"
#include "device/backend.h"
#include "train/memory_check.h"

namespace lockstep::train {

/// What one rank has to say in a step.
struct RankStatus {
  bool stop_requested = false;  ///< a signal came
  bool checkpoint_due = false;  ///< rank 0 would take one after this step, or when it can
  std::exception_ptr failure;   ///< the loader or a worker threw
  bool diverged = false;        ///< this rank's part of an update met a number that is not finite
  device::Totals totals;        ///< of the rank's shards in this step
  MemoryHashes memory;          ///< before the update
};

/// What all ranks know after it.
struct StepStatus {
  bool stop_requested = false;
  bool checkpoint_due = false;
  bool diverged = false;
  bool memory_damaged = false;       ///< on some rank, if they look
  std::uint64_t weights_digest = 0;  ///< slab_hash of the weights, as their owners wrote them
  /// The mean over the step's samples of all ranks, for display: its last digits depend on the number of
  /// ranks. None if the loss is not finite on some rank.
  std::optional<double> loss;
  std::int64_t correct = 0;
  std::int64_t samples = 0;
};

/// The one small reduction per step through which every decision that changes the flow goes, so that no rank
/// acts alone. Collective. If any rank has a failure, throws it on every rank (see World::agree).
StepStatus share_status(comm::World& world, const RankStatus& own);

}  // namespace lockstep::train
