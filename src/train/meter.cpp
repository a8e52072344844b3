#include "train/meter.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "comm/reduction_tree.h"

namespace lockstep::train {

Meter::Meter(Range shards, std::int64_t total_shards)
    : total_shards_(total_shards), totals_(static_cast<std::size_t>(shards.size())) {}

void Meter::reset() {
  std::fill(totals_.begin(), totals_.end(), device::Totals{});
}

void Meter::add(std::span<const device::Totals> shard_totals) {
  check(shard_totals.size() == totals_.size(), "a step has a total for each shard of the rank");
  for (std::size_t i = 0; i < totals_.size(); ++i) totals_[i] += shard_totals[i];
}

std::vector<device::Totals> Meter::gather(comm::World& world) const {
  std::vector<device::Totals> all;
  all.reserve(static_cast<std::size_t>(total_shards_));
  for (const auto& bytes : world.all_gather_bytes(std::as_bytes(std::span(totals_)))) {
    const std::size_t before = all.size();
    all.resize(before + bytes.size() / sizeof(device::Totals));
    if (!bytes.empty()) std::memcpy(&all[before], bytes.data(), bytes.size());
  }
  check(std::ssize(all) == total_shards_, "the ranks' totals cover all shards");
  return all;
}

void Meter::restore(Range shards, std::span<const device::Totals> all) {
  check(std::ssize(all) == total_shards_ && shards.size() == std::ssize(totals_),
        "a rank's totals are among those of all shards");
  std::ranges::copy(all.subspan(static_cast<std::size_t>(shards.begin), totals_.size()), totals_.begin());
}

device::Totals Meter::reduce(comm::World& world) const {
  return comm::tree_sum(gather(world));
}

double mean_loss(const device::Totals& totals) {
  return totals.loss / static_cast<double>(totals.samples);
}

double accuracy(const device::Totals& totals) {
  return static_cast<double>(totals.correct) / static_cast<double>(totals.samples);
}

}  // namespace lockstep::train
