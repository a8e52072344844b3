#pragma once

#include <cstdint>
#include <optional>

#include "comm/world.h"
#include "tensor/parameters.h"

namespace lockstep::train {

/// A number that is not finite, left behind or met by a rank's update of its part of the weights.
struct NotFinite {
  /// In the order in which one spoils the next.
  enum class Where : std::uint8_t { gradient, weight, optimizer_state };

  std::int64_t offset = 0;  ///< in the slab
  Where where = Where::gradient;
};

/// Where a training went wrong.
struct Divergence {
  std::int64_t epoch = 0, step = 0, steps = 0;  ///< step: from 1, of `steps` in the epoch
  std::optional<double> last_good_loss;
};

/// Throws the same Error(bad_data) on every rank. It names epoch, step, the first tensor that any rank found
/// spoilt (or the loss, if none did) and the last good loss, whatever the number of ranks. Collective.
[[noreturn]] void throw_divergence(comm::World& world, const Parameters& parameters, const Divergence& where,
                                   const std::optional<NotFinite>& own);

}  // namespace lockstep::train
