#include "train/pieces.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <set>

#include "base/check.h"

namespace lockstep::train {
namespace {

std::int64_t count_groups(Range shards, std::int64_t size) {
  return shards.empty() ? 0 : (shards.end - 1) / size - shards.begin / size + 1;
}

std::int64_t largest_group(Range shards, std::int64_t size) {
  std::int64_t largest = 0;
  for (std::int64_t first = shards.begin, end = 0; first < shards.end; first = end) {
    end = std::min((first / size + 1) * size, shards.end);
    largest = std::max(largest, end - first);
  }
  return largest;
}

}  // namespace

Pieces pieces_of(const config::Experiment& experiment) {
  return experiment.training.reproducibility == config::Reproducibility::lockstep ? Pieces::shards
                                                                                  : Pieces::whole;
}

std::vector<std::int64_t> piece_sizes(const data::Stripes& stripes, Range shards, Pieces pieces) {
  if (pieces == Pieces::shards) return shard_sizes(stripes, shards);
  std::set<std::int64_t> sizes;
  for (const std::int64_t step : {std::int64_t{0}, stripes.steps() - 1})  // all but the last step are alike
    sizes.insert(stripes.rows(step, shards).size());
  sizes.erase(0);
  return {sizes.begin(), sizes.end()};
}

std::vector<std::int64_t> shard_sizes(const data::Stripes& stripes, Range shards) {
  std::set<std::int64_t, std::greater<>> sizes;
  for (const std::int64_t step : {std::int64_t{0}, stripes.steps() - 1})  // all but the last step are alike
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
      sizes.insert(stripes.rows(step, {shard, shard + 1}).size());
  sizes.erase(0);
  return {sizes.begin(), sizes.end()};
}

Grouping group_shards(const device::Plan& plan, Range shards, std::int64_t workers, int team) {
  const bool gains_much = plan.gains_much_together();
  const bool shares = team > 1 && !gains_much;
  if (shares && workers > 1) return {};
  if (shares) shards.end = shards_to_share(shards, {}, team).begin;
  int size = plan.most_together();
  check(std::has_single_bit(static_cast<unsigned>(size)), "groups are of a power of two");
  const auto suits = [&] {
    if (largest_group(shards, size) <= size / 2) return false;
    if (workers == 1) return true;
    const std::int64_t groups = count_groups(shards, size);
    if (!gains_much) return groups >= workers;
    // The turn may be all that there is to do.
    const auto most = [&](std::int64_t items) { return (items + workers - 1) / workers; };
    return groups >= 2 * workers && most(groups) * size <= most(shards.size());
  };
  // A rank that shares shards loses in other layers, whose activations leave its second-level cache, what it
  // gains from larger groups.
  if (shares) size = std::min(size, 2);
  while (size > 1 && !suits()) size /= 2;
  if (size == 1) return {};
  const std::int64_t in_flight = workers == 1 ? 1 : workers + 1;
  return {.size = size,
          .in_flight = static_cast<int>(std::min(in_flight, count_groups(shards, size))),
          .shares = shares};
}

Range shards_to_share(Range shards, const Grouping& grouping, int team) {
  const bool all_in_groups = grouping.size > 1 && !grouping.shares;
  if (team == 1 || all_in_groups || shards.size() < 2) return {shards.end, shards.end};
  return {shards.end - std::clamp<std::int64_t>(shards.size() / 4, 1, 2), shards.end};
}

}  // namespace lockstep::train
