#include "train/pieces.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <set>

#include "base/check.h"

namespace lockstep::train {
namespace {

std::int64_t largest_piece(Range shards, std::int64_t together) {
  std::int64_t largest = 0;
  for (std::int64_t first = shards.begin, end = 0; first < shards.end; first = end) {
    end = std::min((first / together + 1) * together, shards.end);
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

std::int64_t count_pieces(Range shards, std::int64_t together) {
  return shards.empty() ? 0 : (shards.end - 1) / together - shards.begin / together + 1;
}

int shards_at_a_time(const device::Plan& plan, Range shards, std::int64_t workers) {
  constexpr std::int64_t fewest_pieces = 2;  // of a worker: one that is slow leaves some to others
  const auto suits = [&](std::int64_t together) {
    if (largest_piece(shards, together) <= together / 2) return false;
    if (workers == 1) return true;
    const std::int64_t pieces = count_pieces(shards, together);
    const auto most = [&](std::int64_t items) { return (items + workers - 1) / workers; };
    return pieces >= fewest_pieces * workers && most(pieces) * together <= most(shards.size());
  };
  int together = plan.most_together();
  check(std::has_single_bit(static_cast<unsigned>(together)), "shards go together by powers of two");
  while (together > 1 && !suits(together)) together /= 2;
  return together;
}

}  // namespace lockstep::train
