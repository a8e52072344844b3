#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "train/position.h"

namespace lockstep::train {

/// The equal mean of a training's weights at some of its steps (config::Average), which is validated and
/// saved instead of the last weights; the training knows nothing of it. Every rank keeps the whole mean of
/// the weights that it has, so no weights are exchanged, and it is the same on all ranks.
///
/// m ← m + (w − m) / n with the n-th weights, in float, so that a checkpoint has all of it. Its hash is taken
/// when it is written, and looked at before it is used, unless `checks.memory` is off. Main thread only.
class WeightAverage {
 public:
  /// For slabs of so many floats.
  WeightAverage(const config::Average& settings, config::MemoryChecks checks, std::int64_t slab_size,
                std::int64_t steps_per_epoch);

  /// Whether the weights after so many steps of an epoch, at least one, count.
  [[nodiscard]] bool counts(const Position& after) const;
  /// How many have been added when the training has come to this position.
  [[nodiscard]] std::int64_t count_at(const Position& position) const;

  void add(std::span<const float> weights);
  /// How many have been added, and their mean, valid until the next change; all zeros of none.
  [[nodiscard]] std::int64_t count() const { return count_; }
  [[nodiscard]] std::span<const float> mean() const { return mean_.span(); }
  /// slab_hash of the mean, as it was written.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }
  /// Goes on from a checkpoint's.
  void restore(std::int64_t count, std::span<const float> mean);

  /// Throws the same Error(internal) on all ranks if the mean on any of them is not what was written, naming
  /// rank and host. Collective.
  void check_memory(comm::World& world) const;

 private:
  config::Average settings_;
  bool checks_;
  std::int64_t steps_per_epoch_;
  std::int64_t count_ = 0;
  AlignedBuffer<float> mean_;
  std::uint64_t digest_;
};

}  // namespace lockstep::train
