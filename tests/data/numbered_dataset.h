#pragma once

#include <cstdint>
#include <span>

#include "data/dataset.h"

namespace lockstep::data::testing {

/// A data set whose numbers tell their row and place: pixel p of row r is 1000·r + p, its label r mod 7.
class NumberedDataset : public Dataset {
 public:
  NumberedDataset(std::int64_t samples, const Shape& image) {
    info_.samples = samples;
    info_.image = image;
    info_.classes = 7;
  }
  [[nodiscard]] const DatasetInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t rows_kept() const override { return info_.samples; }
  [[nodiscard]] std::int64_t bytes_kept() const override { return 0; }
  void gather(std::int64_t row, float scale, std::span<float> out) const override {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(1000 * row + static_cast<std::int64_t>(i)) * scale;
  }
  [[nodiscard]] std::int32_t label(std::int64_t row) const override {
    return static_cast<std::int32_t>(row % 7);
  }

 private:
  DatasetInfo info_;
};

}  // namespace lockstep::data::testing
