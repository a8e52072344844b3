#pragma once

#include <cstdint>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "data/stripes.h"
#include "device/backend.h"

namespace lockstep::train {

/// What goes through the network at once on a device: each of the rank's shards by itself, so that their bits
/// depend on nothing else, or all that the rank has of a step, which takes fewer and larger operations.
enum class Pieces : bool { shards, whole };

/// As `training.reproducibility` allows.
Pieces pieces_of(const config::Experiment& experiment);

/// The distinct numbers of samples, none of them 0, that a piece of `shards` has in some step.
std::vector<std::int64_t> piece_sizes(const data::Stripes& stripes, Range shards, Pieces pieces);

/// The distinct numbers of samples, none of them 0, that a shard of `shards` has in some step; largest first.
std::vector<std::int64_t> shard_sizes(const data::Stripes& stripes, Range shards);

/// How a rank trains on its shards: those whose numbers divided by `size`, a power of two, are the same make
/// a group (device::GroupRunner).
struct Grouping {
  int size = 1;  ///< 1: each shard is trained on by itself, by a worker of its own choice
  /// Groups that may have begun and not be complete: one more than there are workers, if there are several,
  /// so that none has to wait while another is at the turn of a group.
  int in_flight = 1;
  /// There are groups, and the last shards are in none: those that others of the team may take
  /// (shards_to_share).
  bool shares = false;

  [[nodiscard]] int places() const { return size * in_flight; }
};

/// Groups as large as such a plan gains from, if all workers still find something to do. `team`: the ranks of
/// a host, which take single shards from each other (SharedShards): that is worth more than groups, so only a
/// rank of one worker makes pairs of the others, unless the plan gains much.
Grouping group_shards(const device::Plan& plan, Range shards, std::int64_t workers, int team);

/// Those of a rank's shards that others of its team, of so many ranks, may compute: the last ones, a quarter
/// of them, but one at least and two at most. None of a single shard, nor where all are in groups.
Range shards_to_share(Range shards, const Grouping& grouping, int team);

}  // namespace lockstep::train
