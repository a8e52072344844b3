#include "train/pieces.h"

#include <set>

#include "train/shard_engine.h"

namespace lockstep::train {

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

}  // namespace lockstep::train
