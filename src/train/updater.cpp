#include "train/updater.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/parameters.h"

namespace lockstep::train {
namespace {

std::optional<NotFinite> locate(std::span<const float> gradient, std::span<const float> weights,
                                std::int64_t first) {
  for (const auto& [values, in_gradient] : {std::pair{gradient, true}, std::pair{weights, false}}) {
    const auto bad =
        std::find_if_not(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    if (bad != values.end()) return NotFinite{first + (bad - values.begin()), in_gradient};
  }
  return std::nullopt;
}

}  // namespace

Updater::Updater(comm::GradientReducer& reducer, optim::Optimizer& optimizer, WorkerPool& workers)
    : reducer_(reducer),
      optimizer_(optimizer),
      workers_(workers),
      found_(static_cast<std::size_t>(workers.size())) {}

std::optional<NotFinite> Updater::apply(std::span<const comm::Partial> partials, std::int64_t samples,
                                        std::span<float> weights) {
  reducer_.begin(partials);
  const Range owned = reducer_.owned();
  const std::int64_t blocks = owned.size() / Parameters::block;
  workers_.run([&](int worker) {
    const Range part = piece(blocks, workers_.size(), worker);
    found_[static_cast<std::size_t>(worker)] = update_range(
        {owned.begin + part.begin * Parameters::block, owned.begin + part.end * Parameters::block},
        static_cast<float>(samples), weights);
  });
  reducer_.end(weights);
  const auto first =
      std::find_if(found_.begin(), found_.end(), [](const auto& found) { return found.has_value(); });
  return first == found_.end() ? std::nullopt : *first;
}

std::optional<NotFinite> Updater::update_range(Range floats, float samples, std::span<float> weights) {
  std::optional<NotFinite> found;
  std::array<float, Parameters::block> gradient;  // NOLINT(*-member-init): mean() fills it
  for (std::int64_t first = floats.begin; first < floats.end; first += Parameters::block) {
    const auto block = weights.subspan(static_cast<std::size_t>(first), gradient.size());
    reducer_.mean(first, samples, gradient);
    if (!optimizer_.update(first, block, gradient) && !found) found = locate(gradient, block, first);
  }
  return found;
}

}  // namespace lockstep::train
