#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "metrics/record.h"

namespace lockstep::train {

/// A step after which two runs have other hashes.
struct DigestDifference {
  std::int64_t step = 0;
  std::int64_t epoch_a = 0, epoch_b = 0;  ///< that the runs count the step to
  bool weights = false;
  bool optimizer = false, samples = false, metrics = false;  ///< known only where both end an epoch
};

/// What the digests of two runs say. Steps count over the whole training; 0 is the initial weights.
struct DigestComparison {
  std::int64_t compared = 0;  ///< steps of which both have a digest, as far as was looked
  std::int64_t last_a = 0, last_b = 0;
  /// The last step before the first difference that both have, and equal.
  std::optional<std::int64_t> equal_through = std::nullopt;
  std::optional<DigestDifference> first = std::nullopt;
  /// The first step with other weights; later than `first` where that is a difference of other things.
  std::optional<std::int64_t> weights_differ = std::nullopt;

  /// Whether the weights are known to have been equal right before the first difference.
  [[nodiscard]] bool is_pinned() const {
    return first && (first->step == 0 || equal_through == first->step - 1);
  }
};

/// Steps that only one of them has say nothing. Both ascend, and neither is empty.
DigestComparison compare_digests(std::span<const metrics::DigestRecord> a,
                                 std::span<const metrics::DigestRecord> b);

/// "weights, optimizer": what differs, in words.
std::string parts_text(const DigestDifference& difference);

}  // namespace lockstep::train
