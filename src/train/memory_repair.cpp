#include "train/memory_repair.h"

#include <algorithm>

namespace lockstep::train {

std::optional<std::vector<Fetch>> plan_repair(std::span<const BlocksOnRank> ranks) {
  std::vector<Fetch> fetches;
  for (std::size_t block = 0; block < ranks.front().now.size(); ++block)
    for (std::size_t to = 0; to < ranks.size(); ++to) {
      const std::uint64_t wanted = ranks[to].written[block];
      if (ranks[to].now[block] == wanted) continue;
      const auto whole =
          std::ranges::find_if(ranks, [&](const BlocksOnRank& rank) { return rank.now[block] == wanted; });
      if (whole == ranks.end()) return std::nullopt;
      fetches.push_back(
          {static_cast<std::int64_t>(block), static_cast<int>(to), static_cast<int>(whole - ranks.begin())});
    }
  return fetches;
}

bool RepairLimit::allows(std::int64_t step) {
  if (last_.at(oldest_) > step - steps) return false;
  last_.at(oldest_) = step;
  oldest_ = (oldest_ + 1) % last_.size();
  return true;
}

}  // namespace lockstep::train
