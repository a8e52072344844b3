#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/partition.h"
#include "checkpoint/snapshot.h"
#include "comm/world.h"
#include "optim/optimizer.h"
#include "train/memory_check.h"

/// The optimizer's state lies with the owners of the slices; a checkpoint has all of it. Collective.
namespace lockstep::train {

/// Brings the state of all ranks together in the root's snapshot, reusing its buffers; `into` is null on the
/// others. Where every rank owns everything, the root's own is taken.
void gather_optimizer(comm::World& world, Ownership ownership, std::int64_t slab_size,
                      const std::vector<optim::Optimizer::State>& own, checkpoint::Snapshot* into);

/// Gives each rank its slice of the root's slabs, which have the optimizer's states by name. `from` is null
/// on the others. Throws on all ranks, with Error(bad_data), when the root's snapshot has other states.
void scatter_optimizer(comm::World& world, const checkpoint::Snapshot* from, std::int64_t slab_size,
                       Range owned, const std::vector<optim::Optimizer::State>& own);

/// Throws Error(bad_data) naming `path` unless weights and optimizer state have the digests that the snapshot
/// says: then they are what the training had, whatever happened to them since. Any thread.
void check_digests(const checkpoint::Snapshot& snapshot, const std::string& path);

}  // namespace lockstep::train
