#pragma once

#include <cstdint>
#include <vector>

#include "base/partition.h"
#include "data/batch_maker.h"
#include "data/stripes.h"

namespace lockstep::testing {

/// A rank's shards of a step whose numbers depend on row and step. Keeps their memory.
class GeneratedBatch {
 public:
  GeneratedBatch(Range shards, std::int64_t pixels) : shards_(shards), pixels_(pixels) {}

  /// The only step of an epoch for each number. Valid until the next call.
  const data::Batch& of_step(const data::Stripes& stripes, int step) {
    images_.clear();
    labels_.clear();
    rows_.clear();
    for (std::int64_t row = 0; row < stripes.samples(); ++row) {
      for (std::int64_t i = 0; i < pixels_; ++i)
        images_.push_back(static_cast<float>((row * pixels_ + i) * 7919 % (1013 + step)) * 1e-3F - 0.5F);
      labels_.push_back(static_cast<std::int32_t>((row + step) % 4));
      rows_.push_back(row);
    }
    batch_ = {.epoch = 1 + step, .step = 0, .global_samples = stripes.samples(), .shards = {}};
    for (std::int64_t shard = shards_.begin; shard < shards_.end; ++shard) {
      const Range rows = stripes.rows(0, {shard, shard + 1});
      batch_.shards.push_back({.shard = shard,
                               .count = rows.size(),
                               .images = images_.data() + rows.begin * pixels_,
                               .labels = labels_.data() + rows.begin,
                               .rows = rows_.data() + rows.begin});
    }
    return batch_;
  }

 private:
  Range shards_;
  std::int64_t pixels_;
  data::Batch batch_;
  std::vector<float> images_;
  std::vector<std::int32_t> labels_;
  std::vector<std::int64_t> rows_;
};

}  // namespace lockstep::testing
