#include "train/status.h"

#include <cmath>
#include <cstdint>
#include <vector>

namespace lockstep::train {
namespace {

/// A RankStatus as it travels.
struct Message {
  std::int64_t stop_requested = 0, failed = 0, diverged = 0, correct = 0, samples = 0;
  double loss = 0;
};

}  // namespace

StepStatus share_status(comm::World& world, const RankStatus& own) {
  const Message mine{.stop_requested = own.stop_requested ? 1 : 0,
                     .failed = own.failure ? 1 : 0,
                     .diverged = own.diverged ? 1 : 0,
                     .correct = own.totals.correct,
                     .samples = own.totals.samples,
                     .loss = own.totals.loss};
  static std::vector<Message> all;  // kept between the steps, which allocate nothing; main thread only
  all.resize(static_cast<std::size_t>(world.size()));
  world.all_gather_into(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));

  StepStatus status;
  bool failed = false;
  bool finite = true;
  double loss = 0;
  for (const Message& message : all) {
    status.stop_requested |= message.stop_requested != 0;
    status.diverged |= message.diverged != 0;
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
