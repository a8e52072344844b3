#pragma once

#include <algorithm>
#include <cstdint>

#include "base/partition.h"
#include "data/stripes.h"

namespace lockstep::data {

/// Which file rows a rank keeps, and where in its memory: those of its stripes, in file order. Arithmetic, no
/// table. Cheap to copy; thread-safe.
class KeptRows {
 public:
  /// All of a set.
  explicit KeptRows(std::int64_t samples);
  /// The stripes of consecutive shards.
  KeptRows(const Stripes& stripes, Range shards);

  /// How many.
  [[nodiscard]] std::int64_t count() const { return full_steps_ * full_.size() + tail_.size(); }
  /// Place in memory of a file row, or -1 if it is another rank's.
  [[nodiscard]] std::int64_t index_of(std::int64_t row) const {
    if (row < 0) return -1;
    const std::int64_t step = row / batch_;
    const std::int64_t offset = row - step * batch_;
    const Range& run = step < full_steps_ ? full_ : tail_;
    return step <= full_steps_ && run.contains(offset) ? step * full_.size() + offset - run.begin : -1;
  }

  /// How many of them lie before a file row, 0 <= row <= samples.
  [[nodiscard]] std::int64_t count_before(std::int64_t row) const {
    const std::int64_t step = row / batch_;
    const Range& run = step < full_steps_ ? full_ : tail_;
    return step * full_.size() + std::clamp(row - step * batch_, run.begin, run.end) - run.begin;
  }
  /// Whether any of them lies in a range of file rows.
  [[nodiscard]] bool any_in(Range rows) const { return count_before(rows.begin) < count_before(rows.end); }
  /// The inverse of index_of, for 0 <= index < count().
  [[nodiscard]] std::int64_t row_at(std::int64_t index) const {
    const std::int64_t width = full_.size();
    const std::int64_t step = width == 0 ? full_steps_ : std::min(index / width, full_steps_);
    return step * batch_ + (step < full_steps_ ? full_ : tail_).begin + (index - step * width);
  }

  // They are so many equal runs, `stride` rows apart, and a last one of another width (or none).
  [[nodiscard]] std::int64_t runs() const { return full_steps_; }
  [[nodiscard]] std::int64_t stride() const { return batch_; }
  /// The first of the equal runs.
  [[nodiscard]] Range run() const { return full_; }
  [[nodiscard]] Range last_run() const {
    return {full_steps_ * batch_ + tail_.begin, full_steps_ * batch_ + tail_.end};
  }

 private:
  std::int64_t batch_;
  std::int64_t full_steps_;
  Range full_;  // kept rows of each full step, counted from its first row
  Range tail_;  // and of the samples that remain
};

}  // namespace lockstep::data
