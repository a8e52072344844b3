#pragma once

#include <memory>
#include <optional>
#include <span>

#include "comm/world.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "train/blueprint.h"
#include "train/meter.h"
#include "train/shard_engine.h"

namespace lockstep::train {

/// Loss and accuracy of given weights on the validation set, cut into shards like the training set, so that
/// they too are the same on any number of ranks.
class Evaluator {
 public:
  /// Reads this rank's stripes of the validation set, which the blueprint must have. The references must
  /// outlive the evaluator. Not collective: failures of reading are this rank's own.
  Evaluator(const Blueprint& blueprint, device::Backend& backend, Range shards, WorkerPool& workers);

  /// Collective. Throws on all ranks if any of them fails. Nothing if `stop`, asked on each rank before each
  /// batch, was true on any.
  std::optional<device::Totals> evaluate(comm::World& world, std::span<const float> weights, bool (*stop)());
  device::Totals evaluate(comm::World& world, std::span<const float> weights);

  /// See ShardEngine. Not collective.
  std::vector<PlanHash> hash_plans(const Parameters& parameters);

  [[nodiscard]] std::int64_t bytes() const;

 private:
  data::Stripes stripes_;
  std::unique_ptr<data::Dataset> dataset_;
  data::Loader loader_;
  ShardEngine engine_;
  Meter meter_;
};

}  // namespace lockstep::train
