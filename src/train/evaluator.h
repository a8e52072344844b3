#pragma once

#include <memory>
#include <optional>
#include <span>

#include "comm/world.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "train/blueprint.h"
#include "train/evaluation_engine.h"
#include "train/meter.h"

namespace lockstep::train {

/// Loss and accuracy of given weights on the validation set, cut into shards like the training set, so that
/// they too are the same on any number of ranks.
class Evaluator {
 public:
  /// Reads this rank's stripes of the validation set, which the blueprint must have. The references, and what
  /// the resources refer to, must outlive the evaluator. Not collective: failures of reading are this rank's
  /// own.
  Evaluator(const Blueprint& blueprint, const Resources& resources, Range shards);

  /// Collective. Throws on all ranks if any of them fails. Nothing if `stop`, asked on each rank before each
  /// batch, was true on any.
  std::optional<device::Totals> evaluate(comm::World& world, std::span<const float> weights, bool (*stop)());
  device::Totals evaluate(comm::World& world, std::span<const float> weights);

  /// See EvaluationEngine. Not collective.
  std::vector<PlanHash> hash_plans(const Parameters& parameters);

  [[nodiscard]] std::int64_t bytes() const;

 private:
  data::Stripes stripes_;
  std::unique_ptr<data::Dataset> dataset_;
  std::unique_ptr<EvaluationEngine> engine_;
  data::Loader loader_;
  Meter meter_;
};

}  // namespace lockstep::train
