#pragma once

#include <cstdint>
#include <memory>

#include "comm/world.h"

namespace lockstep::comm {

/// While it lives, a job that stands still is ended: when no rank has got on for so many seconds (in terms of
/// World::activity()), one rank says on standard error in which operation and step, whose fault it is and
/// what the others are at, and the job ends with 70.
///
/// A thread of each rank sends a beat some times within the limit to the watching ranks, 0 and 1, and they
/// theirs to all. Rank 0 speaks; rank 1 where rank 0 is silent; where both are, or a cut link hides them,
/// each rank in its turn. Whoever speaks tells the others to leave, and leaves without MPI_Finalize, which
/// makes mpirun end what is left.
///
/// Time in which this process did not run (a job that was suspended and goes on) does not count.
class Watchdog {
 public:
  /// Begins to watch; `seconds` 0: does nothing. Rank 0 warns of ranks that no beat comes from: they are not
  /// watched. Collective; throws AgreedError when a rank gets no socket or thread.
  Watchdog(World& world, std::int64_t seconds);
  /// This rank needs no watching any more. Not collective.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::comm
