#include "train/weight_average.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "train/slab_hash.h"

namespace lockstep::train {

WeightAverage::WeightAverage(const config::Average& settings, config::MemoryChecks checks,
                             std::int64_t slab_size, std::int64_t steps_per_epoch)
    : settings_(settings),
      checks_(checks != config::MemoryChecks::off),
      steps_per_epoch_(steps_per_epoch),
      mean_(static_cast<std::size_t>(slab_size)) {
  std::ranges::fill(mean_.span(), 0.0F);
  digest_ = slab_hash(SlabKind::average, 0, mean_.span());
}

bool WeightAverage::counts(const Position& after) const {
  if (after.epoch < settings_.from_epoch) return false;
  if (settings_.every_steps == 0) return after.step == steps_per_epoch_;
  return after.global_step(steps_per_epoch_) % settings_.every_steps == 0;
}

std::int64_t WeightAverage::count_at(const Position& position) const {
  const std::int64_t step = position.global_step(steps_per_epoch_);
  const std::int64_t before = (settings_.from_epoch - 1) * steps_per_epoch_;
  const std::int64_t every = settings_.every_steps == 0 ? steps_per_epoch_ : settings_.every_steps;
  return std::max(step / every - before / every, std::int64_t{0});
}

void WeightAverage::add(std::span<const float> weights) {
  check(weights.size() == mean_.size(), "averaged weights are slabs of one model");
  ++count_;
  const auto count = static_cast<float>(count_);
  float* const mean = mean_.data();
  for (std::size_t i = 0; i < weights.size(); ++i) mean[i] += (weights[i] - mean[i]) / count;
  digest_ = slab_hash(SlabKind::average, 0, mean_.span());
}

void WeightAverage::restore(std::int64_t count, std::span<const float> mean) {
  check(mean.size() == mean_.size(), "an average is a slab of its model");
  count_ = count;
  std::ranges::copy(mean, mean_.data());
  digest_ = slab_hash(SlabKind::average, 0, mean_.span());
}

void WeightAverage::check_memory(comm::World& world) const {
  if (!checks_ || count_ == 0) return;
  const bool damaged = slab_hash(SlabKind::average, 0, mean_.span()) != digest_;
  world.agree([&] {
    if (damaged)
      fail(ExitCode::internal,
           "memory is damaged: the average of the weights on {} is not what was written. It is not saved. "
           "Suspect the memory of this host: test or replace it, and go on from the last checkpoint.",
           world.hosts()[static_cast<std::size_t>(world.rank())]);
  });
}

}  // namespace lockstep::train
