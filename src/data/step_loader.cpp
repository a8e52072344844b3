#include "data/step_loader.h"

#include <algorithm>

#include "base/check.h"
#include "base/fault.h"

namespace lockstep::data {

StepLoader::StepLoader(const Dataset& dataset, Sampler sampler, float scale, Range shards, int threads,
                       Faults faults, std::optional<Augmentation> augmentation)
    : maker_(dataset, sampler, scale, shards, Images::gathered, augmentation, threads), faults_(faults) {
  for (Ahead& ahead : slots_) {
    ahead.slot = maker_.make_slot();
    ahead.is_gathered.resize(static_cast<std::size_t>(maker_.shards()));
  }
}

StepLoader::Ahead& StepLoader::of_step(std::int64_t step) {
  return slots_[static_cast<std::size_t>(step) % slots_.size()];
}

/// Nothing of the step is gathered yet.
void StepLoader::prepare(std::int64_t step) {
  Ahead& ahead = of_step(step);
  maker_.begin(ahead.slot, epoch_, step);
  std::ranges::fill(ahead.is_gathered, std::uint8_t{0});
}

void StepLoader::start(std::int64_t epoch, std::int64_t first_step) {
  check(0 <= first_step && first_step < maker_.stripes().steps(), "an epoch starts at one of its steps");
  epoch_ = epoch;
  next_step_ = first_step;
  prepare(first_step);
}

const Batch& StepLoader::next() {
  const std::int64_t step = next_step_;
  const std::int64_t steps = maker_.stripes().steps();
  check(epoch_ > 0, "start() comes before next()");
  check(step < steps, "an epoch has no more steps: call start()");
  if (faults_ == Faults::as_armed) fault::stall(fault::Place::loader, (epoch_ - 1) * steps + step + 1);
  Ahead& ahead = of_step(step);
  for (std::int64_t piece = 0; piece < maker_.shards(); ++piece)
    if (ahead.is_gathered[static_cast<std::size_t>(piece)] == 0) maker_.fill(ahead.slot, piece, 0);
  ++next_step_;
  if (next_step_ < steps) prepare(next_step_);
  return ahead.slot.batch();
}

std::int64_t StepLoader::pieces_ahead() const {
  return epoch_ > 0 && next_step_ < maker_.stripes().steps() ? maker_.shards() : 0;
}

void StepLoader::gather_ahead(std::int64_t piece, int thread) {
  Ahead& ahead = of_step(next_step_);
  std::uint8_t& is_gathered = ahead.is_gathered[static_cast<std::size_t>(piece)];
  if (is_gathered != 0) return;
  try {
    maker_.fill(ahead.slot, piece, thread);
    is_gathered = 1;
  } catch (...) {  // NOLINT(bugprone-empty-catch): next() tries again, and throws where it matters
  }
}

std::int64_t StepLoader::bytes() const {
  std::int64_t total = maker_.bytes();
  for (const Ahead& ahead : slots_) total += ahead.slot.bytes();
  return total;
}

}  // namespace lockstep::data
