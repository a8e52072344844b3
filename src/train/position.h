#pragma once

#include <cstdint>

namespace lockstep::train {

/// Where a training stands, between two steps. After the last step of an epoch and its evaluation, that is
/// the beginning of the next one.
struct Position {
  std::int64_t epoch = 1;  ///< in hand, from 1
  std::int64_t step = 0;   ///< done of it

  /// Steps done in all.
  [[nodiscard]] std::int64_t global_step(std::int64_t steps_per_epoch) const {
    return (epoch - 1) * steps_per_epoch + step;
  }
};

}  // namespace lockstep::train
