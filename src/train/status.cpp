#include "train/status.h"

#include <cmath>
#include <cstdint>
#include <vector>

namespace lockstep::train {
namespace {

/// A RankStatus as it travels.
struct Message {
  std::int64_t stop_requested = 0, checkpoint_due = 0, failed = 0, diverged = 0, correct = 0, samples = 0;
  double loss = 0;
  std::uint64_t recorded = 0, copy = 0;
  std::int64_t state_damaged = 0;
};

}  // namespace

StepStatus share_status(comm::World& world, const RankStatus& own) {
  const Message mine{.stop_requested = own.stop_requested ? 1 : 0,
                     .checkpoint_due = own.checkpoint_due ? 1 : 0,
                     .failed = own.failure ? 1 : 0,
                     .diverged = own.diverged ? 1 : 0,
                     .correct = own.totals.correct,
                     .samples = own.totals.samples,
                     .loss = own.totals.loss,
                     .recorded = own.memory.recorded,
                     .copy = own.memory.copy.value_or(0),
                     .state_damaged = own.memory.state_damaged ? 1 : 0};
  static std::vector<Message> all;  // kept between the steps, which allocate nothing; main thread only
  all.resize(static_cast<std::size_t>(world.size()));
  world.all_gather_into(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));

  StepStatus status;
  std::uint64_t all_parts = 0;
  for (const Message& message : all) all_parts += message.recorded;
  const bool owns_all = own.memory.ownership == Ownership::everything;  // and so does every other rank
  status.weights_digest = owns_all ? all.front().recorded : all_parts;
  const bool looked = own.memory.copy.has_value();  // and so did every other rank
  bool failed = false;
  bool finite = true;
  double loss = 0;
  for (const Message& message : all) {
    status.stop_requested |= message.stop_requested != 0;
    status.checkpoint_due |= message.checkpoint_due != 0;
    status.diverged |= message.diverged != 0;
    status.memory_damaged |=
        looked && (message.state_damaged != 0 || message.copy != (owns_all ? message.recorded : all_parts));
    failed |= message.failed != 0;
    finite &= std::isfinite(message.loss);
    status.correct += message.correct;
    status.samples += message.samples;
    loss += message.loss;
  }
  if (failed)
    world.agree([&] {
      if (own.failure) std::rethrow_exception(own.failure);
    });
  if (finite && status.samples > 0) status.loss = loss / static_cast<double>(status.samples);
  return status;
}

}  // namespace lockstep::train
