#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "base/partition.h"
#include "data/batch_maker.h"
#include "data/numbered_dataset.h"

namespace lockstep::data::testing {

constexpr float numbered_scale = 0.5F;

/// Fails the test unless this is that step of the sampler, for a rank with these shards, of a NumberedDataset
/// whose images have so many pixels, scaled by numbered_scale.
void expect_batch(const Batch& batch, const Sampler& sampler, std::int64_t epoch, std::int64_t step,
                  Range shards, std::size_t pixels);

/// Fails at one row.
class FailingDataset : public NumberedDataset {
 public:
  FailingDataset() : NumberedDataset(100, {4}) {}
  void gather(std::int64_t row, float factor, std::span<float> out) const override {
    if (row == bad_row) fail(ExitCode::bad_data, "row {} is bad", row);
    NumberedDataset::gather(row, factor, out);
  }
  std::atomic<std::int64_t> bad_row = 37;
};

}  // namespace lockstep::data::testing
