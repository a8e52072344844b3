#include "train/updater.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "tensor/parameters.h"

namespace lockstep::train {
namespace {

std::optional<std::int64_t> first_not_finite(std::span<const float> values) {
  const auto bad =
      std::find_if_not(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  if (bad == values.end()) return std::nullopt;
  return bad - values.begin();
}

}  // namespace

Updater::Updater(comm::GradientReducer& reducer, optim::Optimizer& optimizer, MemoryCheck& memory,
                 WorkerPool& workers)
    : reducer_(reducer),
      optimizer_(optimizer),
      memory_(memory),
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
    if (!optimizer_.update(first, block, gradient) && !found) found = locate(first, gradient, block);
    memory_.record(first, block);
  }
  return found;
}

/// What made the optimizer refuse the block at `first`: the same whoever owns it, as a block is never cut.
NotFinite Updater::locate(std::int64_t first, std::span<const float> gradient,
                          std::span<const float> weights) {
  using Where = NotFinite::Where;
  if (const auto at = first_not_finite(gradient)) return {first + *at, Where::gradient};
  if (const auto at = first_not_finite(weights)) return {first + *at, Where::weight};
  std::optional<std::int64_t> lowest;
  const auto in_slice = static_cast<std::size_t>(first - reducer_.owned().begin);
  for (const optim::Optimizer::State& state : optimizer_.state())
    if (const auto at = first_not_finite(state.values.subspan(in_slice, weights.size())))
      lowest = std::min(lowest.value_or(*at), *at);
  check(lowest.has_value(), "an optimizer refuses only what is not finite");
  return {first + *lowest, Where::optimizer_state};
}

}  // namespace lockstep::train
