#include "device/cpu/loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/portable_math.h"

namespace lockstep::device::cpu {
namespace {

/// The first of the greatest outputs is the label's. False with a NaN anywhere.
bool is_correct(std::span<const float> x, std::size_t label) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool behind = i < label ? x[i] < x[label] : x[i] <= x[label];
    if (!behind) return false;
  }
  return true;
}

double softmax_cross_entropy(std::span<const float> x, std::size_t label, std::span<float> gradient) {
  const double greatest = *std::max_element(x.begin(), x.end());
  const auto power = [&](std::size_t i) { return portable_exp(x[i] - greatest); };
  std::array<double, 64> kept;  // NOLINT(*-member-init): of the first outputs, usually all
  const std::size_t kept_count = gradient.empty() ? 0 : std::min(x.size(), kept.size());
  double sum = 0;
  for (std::size_t i = 0; i < kept_count; ++i) {
    kept[i] = power(i);
    sum += kept[i];
  }
  for (std::size_t i = kept_count; i < x.size(); ++i) sum += power(i);
  if (!gradient.empty()) {
    for (std::size_t i = 0; i < x.size(); ++i)
      gradient[i] = static_cast<float>((i < kept_count ? kept[i] : power(i)) / sum - (i == label ? 1 : 0));
  }
  return portable_log(sum) - (x[label] - greatest);
}

double mean_squared_error(std::span<const float> x, std::size_t label, std::span<float> gradient) {
  const auto count = static_cast<double>(x.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = x[i] - (i == label ? 1.0 : 0.0);
    sum += error * error;
    if (!gradient.empty()) gradient[i] = static_cast<float>(2 * error / count);
  }
  return sum / count;
}

}  // namespace

Totals loss_of(config::Loss loss, std::span<const float> outputs, std::span<const std::int32_t> labels,
               std::span<float> gradient) {
  const std::size_t width = outputs.size() / labels.size();
  const auto sample_loss =
      loss == config::Loss::softmax_cross_entropy ? softmax_cross_entropy : mean_squared_error;
  Totals totals;
  totals.samples = static_cast<std::int64_t>(labels.size());
  for (std::size_t sample = 0; sample < labels.size(); ++sample) {
    const auto label = static_cast<std::size_t>(labels[sample]);
    if (labels[sample] < 0 || label >= width)
      fail(ExitCode::bad_data, "label {} does not fit a model with {} outputs", labels[sample], width);
    const auto x = outputs.subspan(sample * width, width);
    const auto dx = gradient.empty() ? gradient : gradient.subspan(sample * width, width);
    totals.loss += sample_loss(x, label, dx);
    totals.correct += is_correct(x, label) ? 1 : 0;
  }
  return totals;
}

}  // namespace lockstep::device::cpu
