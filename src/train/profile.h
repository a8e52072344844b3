#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "comm/phase_times.h"
#include "comm/world.h"
#include "device/backend.h"
#include "metrics/record.h"

namespace lockstep::train {

/// What one worker's time went into from packing the weights until the gradients were added up. Each on cache
/// lines of its own.
struct alignas(64) WorkerTimes {
  device::PassTimes passes;
  std::chrono::nanoseconds packing{};   ///< new weights for the kernels
  std::chrono::nanoseconds adding{};    ///< gradients of shards to each other
  std::chrono::nanoseconds checking{};  ///< that memory holds what was written
  std::chrono::nanoseconds fetching{};  ///< samples of the next step
};

/// Measures where the time of steps goes while it exists: `lockstep train --profile`. Costs some clock
/// readings for each layer of each shard.
class Profile {
 public:
  /// The references must outlive it.
  Profile(comm::World& world, const device::Network& network, int workers);

  /// Whether there was a first step: what set-up takes does not count.
  [[nodiscard]] bool has_begun() const { return phases_.steps() > 0; }
  /// For that worker alone to add to.
  [[nodiscard]] WorkerTimes& of_worker(int worker) { return workers_[static_cast<std::size_t>(worker)]; }
  /// Of all ranks, on each. Collective, between steps.
  [[nodiscard]] metrics::ProfileRecord gather();

 private:
  [[nodiscard]] std::string own_times() const;

  comm::World& world_;
  const device::Network& network_;
  std::vector<WorkerTimes> workers_;
  comm::PhaseTimes phases_;
};

}  // namespace lockstep::train
