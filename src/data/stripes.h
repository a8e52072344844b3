#pragma once

#include <cstdint>

#include "base/partition.h"

namespace lockstep::data {

/// How a data set is cut into stripes, one per shard: sample n belongs to step n / batch, and there to the
/// shard whose piece of the step's batch it falls in. Stripe s is thus one run of rows per step. Pure
/// arithmetic; cheap to copy.
///
/// The last step of an epoch has the samples that remain (a tail), cut by the same rule: no sample is dropped
/// or counted twice, and a shard may get none.
class Stripes {
 public:
  /// Requires samples >= 1, batch >= 1, shards >= 1.
  Stripes(std::int64_t samples, std::int64_t batch, std::int64_t shards);

  [[nodiscard]] std::int64_t samples() const { return samples_; }
  [[nodiscard]] std::int64_t batch() const { return batch_; }
  [[nodiscard]] std::int64_t shards() const { return shards_; }
  /// Steps of an epoch: ⌈samples / batch⌉.
  [[nodiscard]] std::int64_t steps() const;
  /// Samples of a step over all shards: batch, or what remains in the last step.
  [[nodiscard]] std::int64_t step_samples(std::int64_t step) const;
  /// The file rows that a run of consecutive shards has in a step (one run, since shards are consecutive).
  [[nodiscard]] Range rows(std::int64_t step, Range shards) const;
  /// Rows of consecutive stripes over the whole epoch.
  [[nodiscard]] std::int64_t stripe_rows(Range shards) const;
  /// The file row at `position` of stripe `shard`, 0 <= position < stripe_rows({shard, shard + 1}).
  [[nodiscard]] std::int64_t row_of(std::int64_t shard, std::int64_t position) const;
  /// The position in stripe `shard` of its first row in `step`.
  [[nodiscard]] std::int64_t first_position(std::int64_t step, std::int64_t shard) const;

 private:
  std::int64_t samples_;
  std::int64_t batch_;
  std::int64_t shards_;
};

}  // namespace lockstep::data
