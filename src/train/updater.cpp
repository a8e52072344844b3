#include "train/updater.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

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

std::optional<NotFinite> lower(const std::optional<NotFinite>& a, const std::optional<NotFinite>& b) {
  if (!a || !b) return a ? a : b;
  return b->offset < a->offset ? b : a;
}

constexpr std::int64_t most_blocks_of_a_piece = 8;

}  // namespace

Updater::Updater(comm::GradientReducer& reducer, optim::Optimizer& optimizer, MemoryCheck& memory,
                 WorkerPool& workers)
    : reducer_(reducer),
      optimizer_(optimizer),
      memory_(memory),
      workers_(workers),
      found_(static_cast<std::size_t>(workers.size())) {}

std::optional<NotFinite> Updater::apply(std::span<const comm::Partial> partials,
                                        const comm::CompleteSums& complete, std::int64_t samples,
                                        std::span<float> weights) {
  reducer_.begin(partials, complete);
  std::ranges::fill(found_, std::nullopt);
  const Range owned = reducer_.owned();
  const std::int64_t blocks = owned.size() / Parameters::block;
  const std::int64_t size = workers_.piece_size(blocks, most_blocks_of_a_piece);
  workers_.run_pieces((blocks + size - 1) / size, [&](std::int64_t piece, int worker) {
    for (std::int64_t block = piece * size; block < std::min((piece + 1) * size, blocks); ++block) {
      const std::int64_t first = owned.begin + block * Parameters::block;
      const auto found = update_block(first, static_cast<float>(samples), weights);
      if (!found) continue;  // the usual: workers write nothing that the others look at
      std::optional<NotFinite>& lowest = found_[static_cast<std::size_t>(worker)];
      lowest = lower(lowest, found);
    }
  });
  return std::accumulate(found_.begin(), found_.end(), std::optional<NotFinite>(), lower);
}

std::optional<NotFinite> Updater::update_block(std::int64_t first, float samples, std::span<float> weights) {
  std::array<float, Parameters::block> gradient;  // NOLINT(*-member-init): mean() fills it
  const auto block = weights.subspan(static_cast<std::size_t>(first), gradient.size());
  reducer_.mean(first, samples, gradient);
  const bool is_finite = optimizer_.update(first, block, gradient);
  memory_.record(first, block);
  return is_finite ? std::nullopt : std::optional(locate(first, gradient, block));
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
