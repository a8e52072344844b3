#include "train/status.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace lockstep::train {
namespace {

/// A loss as two integers, whose sums over ranks need no order: a fine one for what people want to see, and
/// one that also holds the losses of a training that is on its way to infinity.
constexpr double fine_unit = 0x1p-20;
constexpr double largest_fine = 1e6;
constexpr double largest_coarse = 1e14;  // thousands of ranks' stay in range

std::int64_t fine(double loss) {
  return std::llround(std::clamp(loss, -largest_fine, largest_fine) / fine_unit);
}
std::int64_t coarse(double loss) {
  return std::llround(std::clamp(loss, -largest_coarse, largest_coarse));
}

double loss_of(std::int64_t fine_sum, std::int64_t coarse_sum) {
  const auto large = static_cast<double>(coarse_sum);
  return std::abs(large) < largest_fine ? static_cast<double>(fine_sum) * fine_unit : large;
}

}  // namespace

StepStatus share_status(comm::World& world, const RankStatus& own) {
  const bool finite = std::isfinite(own.totals.loss);
  enum Field : std::size_t {
    stop,
    failed,
    diverged,
    not_finite,
    fine_loss,
    coarse_loss,
    correct,
    samples,
    fields
  };
  std::array<std::int64_t, fields> values{};
  values[stop] = own.stop_requested ? 1 : 0;
  values[failed] = own.failure ? 1 : 0;
  values[diverged] = own.diverged ? 1 : 0;
  values[not_finite] = finite ? 0 : 1;
  values[fine_loss] = finite ? fine(own.totals.loss) : 0;
  values[coarse_loss] = finite ? coarse(own.totals.loss) : 0;
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
    status.loss = loss_of(values[fine_loss], values[coarse_loss]) / static_cast<double>(values[samples]);
  return status;
}

}  // namespace lockstep::train
