#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/partition.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "train/blueprint.h"
#include "train/plan_check.h"
#include "train/replica.h"

namespace lockstep::train {

/// Runs a rank's shards of the validation set, where the rank computes. Main thread only; not collective.
class EvaluationEngine {
 public:
  virtual ~EvaluationEngine() = default;
  EvaluationEngine(const EvaluationEngine&) = delete;
  EvaluationEngine& operator=(const EvaluationEngine&) = delete;

  /// Whether it has the images of the rank's stripes itself: batches then come without.
  [[nodiscard]] virtual bool has_images() const { return false; }
  /// The weights to compute with, a slab: call after each change of them. They stay where they are until the
  /// next call.
  virtual void weights_changed(std::span<const float> weights) = 0;
  /// Forward and loss of all shards of the batch. Returns the totals of each, in order; valid until the next
  /// call.
  virtual std::span<const device::Totals> evaluate(const data::Batch& batch) = 0;
  /// Runs each plan once on generated data, with these weights of generate_weights(). weights_changed() must
  /// come next.
  virtual std::vector<PlanHash> hash_plans(std::span<const float> weights) = 0;
  /// Bytes of plans, activations and copies in the host's memory.
  [[nodiscard]] virtual std::int64_t bytes() const = 0;

 protected:
  EvaluationEngine() = default;
};

/// For `shards` of the validation set, cut into `stripes`, which `dataset` has. The references, and what the
/// resources refer to, must outlive it.
std::unique_ptr<EvaluationEngine> make_evaluation_engine(const Blueprint& blueprint,
                                                         const Resources& resources,
                                                         const data::Dataset& dataset,
                                                         const data::Stripes& stripes, Range shards);

}  // namespace lockstep::train
