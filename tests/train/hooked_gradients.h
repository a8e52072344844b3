#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <thread>

#include "device/backend.h"

namespace lockstep::testing {

/// Other joint gradients, whose calls are counted, and may take long.
class HookedGradients final : public device::JointGradients {
 public:
  explicit HookedGradients(const device::JointGradients& gradients) : gradients_(gradients) {}
  [[nodiscard]] std::span<const Range> ranges() const override { return gradients_.ranges(); }
  [[nodiscard]] std::int64_t kept_floats(std::int64_t samples) const override {
    return gradients_.kept_floats(samples);
  }
  [[nodiscard]] std::int64_t pieces() const override { return gradients_.pieces(); }
  void add_up(std::int64_t piece, std::span<const device::KeptShard> shards, float* slab) const override {
    ++count;
    std::int64_t all = 0;
    for (const device::KeptShard& shard : shards) all += shard.samples;
    samples = all;
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
    gradients_.add_up(piece, shards, slab);
  }
  mutable std::atomic<std::int64_t> count = 0;
  mutable std::atomic<std::int64_t> samples = 0;  ///< of all shards, in the last call
  std::chrono::milliseconds pause{0};             ///< before each piece

 private:
  const device::JointGradients& gradients_;
};

}  // namespace lockstep::testing
