#pragma once

#include <cstdint>
#include <span>

#include "config/experiment.h"
#include "data/stripes.h"

namespace lockstep::data {

/// Which samples a shard trains on: a pure function of (seed, epoch, step, shard), whatever the ranks and
/// threads. Holds no tables; cheap to copy; thread-safe.
class Sampler {
 public:
  Sampler(Stripes stripes, config::Shuffle shuffle, std::uint64_t seed);

  [[nodiscard]] const Stripes& stripes() const { return stripes_; }
  /// Samples of a shard in a step; may be 0 in a tail.
  [[nodiscard]] std::int64_t count(std::int64_t step, std::int64_t shard) const;
  /// Writes their file rows to `out`, which has count(step, shard) elements. Epochs count from 1.
  /// Every epoch uses each row of the file exactly once over all steps and shards.
  void rows(std::int64_t epoch, std::int64_t step, std::int64_t shard, std::span<std::int64_t> out) const;

 private:
  Stripes stripes_;
  config::Shuffle shuffle_;
  std::uint64_t seed_;
};

}  // namespace lockstep::data
