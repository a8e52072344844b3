#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/partition.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace lockstep::data {

/// Facts about a data set that ranks compare before training.
struct DatasetInfo {
  std::string file;
  std::int64_t samples = 0;
  std::optional<Range> rows;  ///< of the file, where they are not all of it; they count from 0 elsewhere
  Shape image;                ///< {C, H, W}, or {F} for flat features
  DType image_type = DType::u8;
  std::int64_t smallest_label = 0;  ///< over all samples
  std::int64_t classes = 0;         ///< largest label + 1
  std::int64_t file_bytes = 0;
  std::string manifest;  ///< checksums, see manifest()
};

/// A rank's share of a labelled image set, in memory in the file's own type. Immutable once made;
/// thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  [[nodiscard]] virtual const DatasetInfo& info() const = 0;
  /// Rows that this rank keeps.
  [[nodiscard]] virtual std::int64_t rows_kept() const = 0;
  [[nodiscard]] virtual std::int64_t bytes_kept() const = 0;
  /// Copies file row `row` as floats times `scale`, in C, H, W order. The row must be one that this rank
  /// keeps.
  virtual void gather(std::int64_t row, float scale, std::span<float> out) const = 0;
  /// Hints that this rank will soon gather a row that it keeps.
  virtual void prefetch(std::int64_t /*row*/) const {}
  [[nodiscard]] virtual std::int32_t label(std::int64_t row) const = 0;

  /// What is kept, for a device that gathers by itself: rows in some order, in the file's type, C, H, W; and
  /// their labels. Empty where a set does not lie in memory as a whole.
  [[nodiscard]] virtual std::span<const std::byte> stored_images() const { return {}; }
  [[nodiscard]] virtual std::span<const std::int32_t> stored_labels() const { return {}; }
  /// The place in that order of a row that this rank keeps.
  [[nodiscard]] virtual std::int64_t place_of(std::int64_t row) const { return row; }
};

}  // namespace lockstep::data
