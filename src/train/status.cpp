#include "train/status.h"

#include <array>
#include <cmath>

namespace lockstep::train {
namespace {

constexpr double fixed_point = 1 << 20;
/// Of one rank, so that sums over thousands of ranks stay in range.
constexpr double largest_loss = 1e9;

}  // namespace

StepStatus share_status(comm::World& world, const RankStatus& own) {
  const bool finite = std::isfinite(own.totals.loss) && std::abs(own.totals.loss) < largest_loss;
  enum Field : std::size_t { stop, failed, diverged, not_finite, loss, correct, samples, fields };
  std::array<std::int64_t, fields> values{};
  values[stop] = own.stop_requested ? 1 : 0;
  values[failed] = own.failure ? 1 : 0;
  values[diverged] = own.diverged ? 1 : 0;
  values[not_finite] = finite ? 0 : 1;
  values[loss] = finite ? std::llround(own.totals.loss * fixed_point) : 0;
  values[correct] = own.totals.correct;
  values[samples] = own.totals.samples;
  world.sum(values);

  if (values[failed] > 0)
    world.agree([&] {
      if (own.failure) std::rethrow_exception(own.failure);
    });
  StepStatus status{.stop_requested = values[stop] > 0,
                    .diverged = values[diverged] > 0,
                    .loss = std::nullopt,
                    .correct = values[correct],
                    .samples = values[samples]};
  if (values[not_finite] == 0 && values[samples] > 0)
    status.loss = static_cast<double>(values[loss]) / fixed_point / static_cast<double>(values[samples]);
  return status;
}

}  // namespace lockstep::train
