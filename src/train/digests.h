#pragma once

#include <cstdint>

#include "comm/world.h"
#include "data/loader.h"
#include "metrics/record.h"

namespace lockstep::train {

/// Whether the weights' hash after `step` steps of the whole training is written down, for `digests.every`:
/// also in the midst of an epoch. Those of the initial weights always are.
bool digest_is_due(std::int64_t every, std::int64_t step);

/// Hash of which samples a rank's shards of a step have, and in which order. The hashes of all ranks and
/// steps of an epoch add up, modulo 2^64, to one that does not depend on the ranks. Allocates nothing.
std::uint64_t order_hash(const data::Batch& batch, std::int64_t total_shards);

/// Hash of the bits of an epoch's losses, accuracies and learning rate; not of its times.
std::uint64_t metrics_hash(const metrics::EpochRecord& record);

/// The sum of all ranks' values, modulo 2^64. Collective.
std::uint64_t wrapping_sum(comm::World& world, std::uint64_t own);

}  // namespace lockstep::train
