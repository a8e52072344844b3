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

/// How many of its `shards` a rank's worker takes at a time, a power of two: as many as such a plan gains
/// from, if the workers still find pieces enough to end together.
int shards_at_a_time(const device::Plan& plan, Range shards, std::int64_t workers);

/// In so many pieces do workers take these shards: those whose numbers divided by `together` are the same
/// make one.
std::int64_t count_pieces(Range shards, std::int64_t together);

}  // namespace lockstep::train
