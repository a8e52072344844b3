#pragma once

#include <map>
#include <optional>
#include <vector>

#include "train/device_engine.h"
#include "train/device_samples.h"
#include "train/evaluation_engine.h"
#include "train/repeated_work.h"

namespace lockstep::train {

/// Evaluation in an accelerator's memory: what a step queues is captured as a graph, for each way in which a
/// step's samples are cut into shards. Shards go through the network one by one whatever the experiment says
/// of reproducibility, so that what a run recorded can be computed again on any number of ranks.
class DeviceEvaluation final : public EvaluationEngine {
 public:
  DeviceEvaluation(const Blueprint& blueprint, const Resources& resources, const data::Dataset& dataset,
                   const data::Stripes& stripes, Range shards);
  ~DeviceEvaluation() override;

  [[nodiscard]] bool has_images() const override { return samples_->on_device(); }
  void weights_changed(std::span<const float> weights) override;
  std::span<const device::Totals> evaluate(const data::Batch& batch) override;
  std::vector<PlanHash> hash_plans(std::span<const float> weights) override;
  [[nodiscard]] std::int64_t bytes() const override;

 private:
  const device::Network& network_;
  device::Backend& backend_;
  std::vector<std::int64_t> sizes_;  // of shards, in samples
  std::unique_ptr<device::Stream> stream_;
  device::DeviceArray<float> weights_;
  device::PinnedArray<float> host_weights_;
  device::DeviceArray<device::Totals> totals_;  // by shard
  device::PinnedArray<device::Totals> host_totals_;
  std::optional<DeviceSamples> samples_;
  std::optional<DeviceEngine> engine_;
  std::map<std::vector<std::int64_t>, RepeatedWork> steps_;
};

}  // namespace lockstep::train
