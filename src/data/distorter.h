#pragma once

#include <span>

#include "base/aligned_buffer.h"
#include "data/dataset.h"
#include "tensor/affine_map.h"

namespace lockstep::data {

/// Gathers images through affine maps. One thread at a time; allocates in the constructor only.
class Distorter {
 public:
  /// For images of this shape, C × H × W.
  explicit Distorter(const Shape& image);

  /// As Dataset::gather, of what `map` makes of the image: bilinear between pixels, 0 outside. Maps that
  /// move whole pixels change no bit of them.
  void gather(const Dataset& dataset, std::int64_t row, float scale, const AffineMap& map,
              std::span<float> out);
  [[nodiscard]] std::int64_t bytes() const;

 private:
  /// Pixel (row, column) becomes what (row + down, column + right) was.
  void move(std::int64_t down, std::int64_t right, std::span<float> image);
  /// Puts an image between the borders.
  void frame(std::span<const float> image);
  [[nodiscard]] const float* framed_row(std::int64_t channel, std::int64_t row) const;

  std::int64_t channels_, height_, width_;
  std::int64_t framed_width_;  ///< with borders: one pixel before an axis, two behind it, as AffineTap wants
  AlignedBuffer<float> framed_;
};

}  // namespace lockstep::data
