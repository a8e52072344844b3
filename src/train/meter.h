#pragma once

#include <span>
#include <vector>

#include "base/partition.h"
#include "comm/world.h"
#include "device/backend.h"

namespace lockstep::train {

/// Adds up loss and correct answers over the steps of an epoch, each shard apart, so that the sums do not
/// depend on which rank or thread had a shard: over steps in order, then over shards in the one tree.
class Meter {
 public:
  /// For a rank that has these shards of `total_shards`.
  Meter(Range shards, std::int64_t total_shards);

  void reset();
  /// One step: a total for each of the rank's shards, in order.
  void add(std::span<const device::Totals> shard_totals);
  /// The totals so far of all shards of all ranks, in order, on each rank. Collective.
  [[nodiscard]] std::vector<device::Totals> gather(comm::World& world) const;
  /// Goes on from what gather() gave, on any number of ranks.
  void restore(Range shards, std::span<const device::Totals> all);
  /// The sum over all shards of all ranks, the same on each. Collective.
  [[nodiscard]] device::Totals reduce(comm::World& world) const;

 private:
  std::int64_t total_shards_;
  std::vector<device::Totals> totals_;
};

/// Means of a total over its samples.
double mean_loss(const device::Totals& totals);
double accuracy(const device::Totals& totals);

}  // namespace lockstep::train
