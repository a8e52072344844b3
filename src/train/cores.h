#pragma once

#include <cstdint>
#include <string>

#include "comm/world.h"
#include "config/experiment.h"

namespace lockstep::train {

/// How the cores of all hosts are used.
struct CoreUse {
  std::int64_t threads = 1;      ///< of this rank
  std::int64_t max_threads = 1;  ///< of any rank
  std::int64_t idle = 0;         ///< cores of all hosts that no rank uses, those among them that mpirun hides
  std::string advice;            ///< which setting would use them; empty if none is idle
};

/// Decides this rank's threads: the setting, or its share of the cores it may run on (its affinity mask
/// divided by the ranks of this host whose masks overlap with it), at most its shards and at least one.
/// Collective.
CoreUse divide_cores(comm::World& world, const config::Experiment& experiment);

/// The same for one host whose ranks may all use `cores`, without asking anyone: for `lockstep plan`.
std::int64_t threads_on_one_host(const config::Experiment& experiment, std::int64_t cores, int ranks,
                                 int rank);

/// Cores that this process may run on.
std::int64_t cores_available();

}  // namespace lockstep::train
