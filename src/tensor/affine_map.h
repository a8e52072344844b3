#pragma once

#include <cstdint>

/// How an image is moved, turned or stretched: for each pixel of the result, the place in the source that it
/// shows. Shared by the processor and the kernels of GPUs, which get the same bits of it: places are
/// integers, and sums of floats are written down in order (without fused multiply-adds, see the compiler's
/// options).
namespace lockstep {

/// Places are numbers of rows and columns, counted from the centre of the first pixel, times 2^32.
struct AffineMap {
  static constexpr int fraction_bits = 32;
  static constexpr std::int64_t one = std::int64_t{1} << fraction_bits;

  std::int64_t row = 0;  ///< of the place that the first pixel shows
  std::int64_t column = 0;
  std::int64_t row_per_row = one;  ///< how far the place moves with a row of the result, or a column
  std::int64_t row_per_column = 0;
  std::int64_t column_per_row = 0;
  std::int64_t column_per_column = one;

  friend bool operator==(const AffineMap&, const AffineMap&) = default;
  /// Whether every pixel shows another pixel, or what is outside, as it is.
  [[nodiscard]] constexpr bool moves_whole_pixels() const {
    return row_per_row == one && column_per_column == one && row_per_column == 0 && column_per_row == 0 &&
           row % one == 0 && column % one == 0;
  }
};

/// Where one pixel of the result comes from, along one axis: between pixels `at` and `at` + 1 of the source,
/// in so many parts of 256 of the second. -1 <= at <= size; the pixels -1, size and size + 1 are outside.
struct AffineTap {
  std::int64_t at;
  std::int32_t weight;
};
/// Of a place along an axis of so many pixels, rounded to the nearest part of 256.
constexpr AffineTap affine_tap(std::int64_t place, std::int64_t size) {
  constexpr int weight_bits = 8;
  constexpr int dropped = AffineMap::fraction_bits - weight_bits;
  std::int64_t parts = (place + (std::int64_t{1} << (dropped - 1))) >> dropped;
  const std::int64_t most = size << weight_bits;
  if (parts < -(1 << weight_bits)) parts = -(1 << weight_bits);
  if (parts > most) parts = most;
  return {parts >> weight_bits, static_cast<std::int32_t>(parts & ((1 << weight_bits) - 1))};
}

/// What affine_blend() is too large by: its weights are integers. A power of two, so it costs no bits.
inline constexpr float affine_blend_scale = 65536;

/// Bilinear, times affine_blend_scale: from the four pixels around a place. Of bytes it is exact.
constexpr float affine_blend(AffineTap row, AffineTap column, float upper_left, float upper_right,
                             float lower_left, float lower_right) {
  const std::int32_t up = 256 - row.weight;
  const std::int32_t left = 256 - column.weight;
  float sum = static_cast<float>(up * left) * upper_left;
  sum += static_cast<float>(up * column.weight) * upper_right;
  sum += static_cast<float>(row.weight * left) * lower_left;
  sum += static_cast<float>(row.weight * column.weight) * lower_right;
  return sum;
}

}  // namespace lockstep
