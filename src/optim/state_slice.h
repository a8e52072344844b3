#pragma once

#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "base/partition.h"

namespace lockstep::optim {

/// One number of optimizer state for each weight of a rank's slice of the slab: zeros at first. Move-only;
/// threads may use disjoint ranges at once.
class StateSlice {
 public:
  /// Without `kept` it holds nothing, and at() only checks its range.
  explicit StateSlice(Range slice, bool kept = true);

  [[nodiscard]] bool kept() const { return kept_; }

  [[nodiscard]] std::span<float> all() const { return values_.span(); }
  /// The state of floats [first, first + count) of the slab. Requires a range within the slice;
  /// empty unless kept.
  [[nodiscard]] std::span<float> at(std::int64_t first, std::size_t count) const;

 private:
  Range slice_;
  bool kept_;
  AlignedBuffer<float> values_;
};

}  // namespace lockstep::optim
