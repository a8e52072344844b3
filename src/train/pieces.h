#pragma once

#include <cstdint>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "data/stripes.h"

namespace lockstep::train {

/// What goes through the network at once on a device: each of the rank's shards by itself, so that their bits
/// depend on nothing else, or all that the rank has of a step, which takes fewer and larger operations.
enum class Pieces : bool { shards, whole };

/// As `training.reproducibility` allows.
Pieces pieces_of(const config::Experiment& experiment);

/// The distinct numbers of samples, none of them 0, that a piece of `shards` has in some step.
std::vector<std::int64_t> piece_sizes(const data::Stripes& stripes, Range shards, Pieces pieces);

}  // namespace lockstep::train
