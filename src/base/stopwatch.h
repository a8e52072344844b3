#pragma once

#include <chrono>

namespace lockstep {

/// Time from lap to lap. One that is not wanted asks no clock.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Stopwatch(bool wanted) : wanted_(wanted), last_(wanted ? Clock::now() : Clock::time_point()) {}

  /// Adds the time since the lap before, or since the start, to `sum`.
  void lap(std::chrono::nanoseconds& sum) {
    if (!wanted_) return;
    const Clock::time_point now = Clock::now();
    sum += now - last_;
    last_ = now;
  }

 private:
  bool wanted_;
  Clock::time_point last_;
};

}  // namespace lockstep
