#include "data/distorter.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t border_before = 1, border_behind = 2;

}  // namespace

Distorter::Distorter(const Shape& image)
    : channels_(image[0]),
      height_(image[1]),
      width_(image[2]),
      framed_width_(border_before + width_ + border_behind),
      framed_(
          static_cast<std::size_t>(channels_ * (border_before + height_ + border_behind) * framed_width_)) {
  check(image.rank() == 3, "an image that is distorted has channels, height and width");
  std::ranges::fill(framed_.span(), 0.0F);
}

/// Of the image's first pixel in a row from -1 to height + 1.
const float* Distorter::framed_row(std::int64_t channel, std::int64_t row) const {
  const std::int64_t rows = border_before + height_ + border_behind;
  return framed_.data() + (channel * rows + border_before + row) * framed_width_ + border_before;
}

void Distorter::frame(std::span<const float> image) {
  const float* from = image.data();
  for (std::int64_t channel = 0; channel < channels_; ++channel)
    for (std::int64_t row = 0; row < height_; ++row, from += width_) {
      const auto offset = static_cast<std::size_t>(framed_row(channel, row) - framed_.data());
      std::copy_n(from, width_, framed_.data() + offset);
    }
}

void Distorter::move(std::int64_t down, std::int64_t right, std::span<float> image) {
  if (down == 0 && right == 0) return;
  frame(image);
  const std::int64_t first = std::clamp<std::int64_t>(-right, 0, width_);
  const std::int64_t end = std::clamp<std::int64_t>(width_ - right, 0, width_);
  float* to = image.data();
  for (std::int64_t channel = 0; channel < channels_; ++channel)
    for (std::int64_t y = 0; y < height_; ++y, to += width_) {
      std::fill_n(to, width_, 0.0F);
      const bool inside = 0 <= y + down && y + down < height_;
      if (inside && first < end)
        std::copy_n(framed_row(channel, y + down) + right + first, end - first, to + first);
    }
}

void Distorter::gather(const Dataset& dataset, std::int64_t row, float scale, const AffineMap& map,
                       std::span<float> out) {
  if (map.moves_whole_pixels()) {
    dataset.gather(row, scale, out);
    return move(map.row / AffineMap::one, map.column / AffineMap::one, out);
  }
  // Weights and pixels first, the factor last: sums over bytes are exact then, and so is the power of two.
  dataset.gather(row, 1, out);
  frame(out);
  const float factor = scale / affine_blend_scale;
  float* to = out.data();
  for (std::int64_t channel = 0; channel < channels_; ++channel) {
    const float* const image = framed_row(channel, 0);
    for (std::int64_t y = 0; y < height_; ++y) {
      std::int64_t source_row = map.row + y * map.row_per_row;
      std::int64_t source_column = map.column + y * map.column_per_row;
      for (std::int64_t x = 0; x < width_; ++x) {
        const AffineTap down = affine_tap(source_row, height_);
        const AffineTap right = affine_tap(source_column, width_);
        const float* const upper = image + down.at * framed_width_ + right.at;
        const float* const lower = upper + framed_width_;
        *to++ = affine_blend(down, right, upper[0], upper[1], lower[0], lower[1]) * factor;
        source_row += map.row_per_column;
        source_column += map.column_per_column;
      }
    }
  }
}

std::int64_t Distorter::bytes() const {
  return static_cast<std::int64_t>(framed_.span().size_bytes());
}

}  // namespace lockstep::data
