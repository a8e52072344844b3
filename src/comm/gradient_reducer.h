#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/partition.h"
#include "comm/collective.h"
#include "config/experiment.h"

namespace lockstep::comm {

/// Floats of the slab of which the sum over all shards is there already, in memory that all ranks of the job
/// have in common.
struct CompleteSums {
  std::span<const Range> ranges;  ///< ascending; none where nothing is complete
  const float* slab = nullptr;    ///< which may end behind the last range
};

/// Turns the ranks' partial sums of a step into the mean gradient, and spreads the weights that come of it.
///
/// A step: begin() on the main thread; mean() for every part of owned(), on any threads, each followed by the
/// update of those weights; end() or hand_on() on the main thread.
class GradientReducer {
 public:
  virtual ~GradientReducer() = default;
  /// The floats of the slab that this rank updates, and so whose optimizer state it keeps.
  [[nodiscard]] virtual Range owned() const = 0;
  /// Takes this rank's partial sums, and what is complete besides: the same ranges on all ranks, which
  /// partial sums are not read for, written by any of them before it calls this. All stays as it is until
  /// end(). Collective.
  virtual void begin(std::span<const Partial> local, const CompleteSums& complete) = 0;
  /// Writes the mean gradient of floats [first, first + out.size()) of the slab, a part of owned(), over
  /// `samples`.
  virtual void mean(std::int64_t first, float samples, std::span<float> out) const = 0;
  /// Makes the new weights in owned() known to all ranks. `weights` is a slab of the collective. Collective.
  virtual void end(std::span<float> weights) = 0;
  /// The same without waiting for the ranks of this rank's team: see Collective::hand_on.
  virtual void hand_on(std::span<float> weights) = 0;
};

/// lockstep: each rank finishes the one tree for its slice, and the slices are gathered. run: an all-reduce
/// in the library's order, after which each rank updates everything by itself.
std::unique_ptr<GradientReducer> make_gradient_reducer(config::Reproducibility reproducibility,
                                                       Collective& collective, std::int64_t slab_size,
                                                       std::int64_t shards);

}  // namespace lockstep::comm
