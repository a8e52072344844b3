#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "comm/activity.h"

namespace lockstep::comm {

/// How long a rank's main thread was in each phase while this exists, from the first step on, and how much of
/// that it waited for other ranks. Main thread only, except that nothing else may happen to the activity, and
/// that its workers may read steps() while it waits for them.
class PhaseTimes final : private Activity::Observer {
 public:
  struct Spent {
    std::chrono::nanoseconds all{}, waiting{};
  };

  /// Begins to count. `activity` must outlive it, and has no other observer.
  explicit PhaseTimes(Activity& activity);
  ~PhaseTimes() override;
  PhaseTimes(const PhaseTimes&) = delete;
  PhaseTimes& operator=(const PhaseTimes&) = delete;

  /// Of all visits to this phase that have ended.
  [[nodiscard]] const Spent& of(Phase phase) const { return spent_[static_cast<std::size_t>(phase)]; }
  /// That were begun.
  [[nodiscard]] std::int64_t steps() const { return steps_; }

 private:
  using Clock = std::chrono::steady_clock;
  void changed(const Activity::View& before, const Activity::View& now) override;

  Activity& activity_;
  std::array<Spent, phases> spent_{};
  std::int64_t steps_ = 0;
  Clock::time_point since_ = Clock::now();
};

}  // namespace lockstep::comm
