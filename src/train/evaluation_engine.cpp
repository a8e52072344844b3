#include "train/evaluation_engine.h"

#include "train/device_evaluation.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

/// On the rank's workers.
class HostEvaluation final : public EvaluationEngine {
 public:
  HostEvaluation(const Blueprint& blueprint, const Resources& resources, const data::Stripes& stripes,
                 Range shards)
      : engine_(resources.backend, blueprint.network, device::Mode::evaluation, stripes, shards,
                resources.workers) {}

  void weights_changed(std::span<const float> weights) override { engine_.weights_changed(weights); }
  std::span<const device::Totals> evaluate(const data::Batch& batch) override {
    return engine_.evaluate(batch);
  }
  std::vector<PlanHash> hash_plans(std::span<const float> weights) override {
    engine_.weights_changed(weights);
    return engine_.hash_plans({});  // evaluation has no gradient
  }
  [[nodiscard]] std::int64_t bytes() const override { return engine_.bytes(); }

 private:
  ShardEngine engine_;
};

}  // namespace

std::unique_ptr<EvaluationEngine> make_evaluation_engine(const Blueprint& blueprint,
                                                         const Resources& resources,
                                                         const data::Dataset& dataset,
                                                         const data::Stripes& stripes, Range shards) {
  if (resources.accelerator != nullptr)
    return std::make_unique<DeviceEvaluation>(blueprint, resources, dataset, stripes, shards);
  return std::make_unique<HostEvaluation>(blueprint, resources, stripes, shards);
}

}  // namespace lockstep::train
