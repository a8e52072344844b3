#include "train/device_evaluation.h"

#include <algorithm>
#include <exception>

#include "base/check.h"

namespace lockstep::train {

DeviceEvaluation::DeviceEvaluation(const Blueprint& blueprint, const Resources& resources,
                                   const data::Dataset& dataset, const data::Stripes& stripes, Range shards)
    : network_(blueprint.network),
      backend_(resources.backend),
      sizes_(piece_sizes(stripes, shards, Pieces::shards)) {
  device::Accelerator& accelerator = *resources.accelerator;
  const config::Experiment& experiment = blueprint.experiment;
  // The training comes first, and has more to keep.
  const std::int64_t room = accelerator.facts().free_bytes / 8;
  stream_ = accelerator.make_stream();
  weights_ = accelerator.make_array<float>(network_.parameters.slab_size());
  host_weights_ = accelerator.make_pinned<float>(network_.parameters.slab_size());
  totals_ = accelerator.make_array<device::Totals>(shards.size());
  host_totals_ = accelerator.make_pinned<device::Totals>(shards.size());
  samples_.emplace(accelerator, *stream_, dataset, stripes, shards, static_cast<float>(experiment.data.scale),
                   experiment.device.data, room);
  engine_.emplace(accelerator, network_, device::Mode::evaluation, sizes_, resources.choices, shards.size(),
                  experiment.device.branches, room);
}

/// After a failure work may still be queued that uses the memory.
DeviceEvaluation::~DeviceEvaluation() {
  try {
    engine_->synchronize();
    stream_->synchronize();
  } catch (const std::exception&) {
    return;  // the failure has been reported
  }
}

void DeviceEvaluation::weights_changed(std::span<const float> weights) {
  check(weights.size() == host_weights_.span().size(), "weights come as a whole slab");
  stream_->synchronize();
  std::ranges::copy(weights, host_weights_.span().begin());
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
}

std::span<const device::Totals> DeviceEvaluation::evaluate(const data::Batch& batch) {
  const DeviceSamples::Staged& staged =
      samples_->stage(batch, Pieces::shards, static_cast<std::size_t>(batch.step % 2));
  samples_->await_images(*stream_);
  steps_[staged.counts].queue(*stream_, staged.slot, [&] {
    samples_->queue_copies(*stream_);
    engine_->queue(*stream_, *samples_, staged.counts, weights_.span(),
                   {.gradients = {}, .totals = totals_.span()});
    device::copy_out<device::Totals>(*stream_, host_totals_.span(), totals_.span());
  });
  stream_->synchronize();
  return host_totals_.span();
}

std::vector<PlanHash> DeviceEvaluation::hash_plans(std::span<const float> weights) {
  return train::hash_plans(backend_, network_, device::Mode::evaluation, sizes_, weights, {});
}

std::int64_t DeviceEvaluation::bytes() const {
  return static_cast<std::int64_t>(host_weights_.span().size_bytes() + host_totals_.span().size_bytes());
}

}  // namespace lockstep::train
