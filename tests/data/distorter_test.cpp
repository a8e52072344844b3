#include "data/distorter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "data/augmentation.h"

namespace lockstep::data {
namespace {

/// One image.
class OneImage : public Dataset {
 public:
  OneImage(const Shape& shape, std::vector<float> pixels) : pixels_(std::move(pixels)) {
    info_.samples = 1;
    info_.image = shape;
  }
  [[nodiscard]] const DatasetInfo& info() const override { return info_; }
  [[nodiscard]] std::int64_t rows_kept() const override { return 1; }
  [[nodiscard]] std::int64_t bytes_kept() const override { return 0; }
  void gather(std::int64_t /*row*/, float scale, std::span<float> out) const override {
    std::ranges::transform(pixels_, out.begin(), [scale](float pixel) { return pixel * scale; });
  }
  [[nodiscard]] std::int32_t label(std::int64_t /*row*/) const override { return 0; }
  /// 0 outside.
  [[nodiscard]] double at(std::int64_t channel, std::int64_t row, std::int64_t column) const {
    const Shape& shape = info_.image;
    if (row < 0 || row >= shape[1] || column < 0 || column >= shape[2]) return 0;
    return pixels_[static_cast<std::size_t>((channel * shape[1] + row) * shape[2] + column)];
  }

 private:
  DatasetInfo info_;
  std::vector<float> pixels_;
};

OneImage random_bytes(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> pixels(static_cast<std::size_t>(shape.count()));
  for (float& pixel : pixels) pixel = static_cast<float>(random() % 256);
  return {shape, std::move(pixels)};
}

std::vector<float> distort(const OneImage& image, const AffineMap& map, float scale = 1) {
  std::vector<float> out(static_cast<std::size_t>(image.info().image.count()), -1.0F);
  Distorter distorter(image.info().image);
  // What an earlier image has left between the borders must not show.
  distorter.gather(random_bytes(image.info().image, 99), 0, scale,
                   {.row = 1234567, .row_per_row = AffineMap::one / 2}, out);
  distorter.gather(image, 0, scale, map, out);
  return out;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

const std::vector<Shape> shapes{{1, 28, 28}, {3, 5, 9}, {2, 9, 4}, {1, 1, 1}, {1, 1, 7}, {2, 6, 1}};

TEST(Distorter, TheIdentityChangesNoBit) {
  const OneImage image({1, 2, 3}, {-0.0F, 1e-42F, 3.3F, -7.7F, 1e30F, 0.1F});
  std::vector<float> expected(6);
  image.gather(0, 0.3F, expected);
  EXPECT_EQ(bits(distort(image, {}, 0.3F)), bits(expected));
}

TEST(Distorter, MovesWholePixels) {
  for (const Shape& shape : shapes) {
    const OneImage image = random_bytes(shape, 3);
    for (const std::int64_t down : {-30, -2, -1, 0, 1, 3})
      for (const std::int64_t right : {-4, -1, 0, 1, 2, 40}) {
        const AffineMap map{.row = down * AffineMap::one, .column = right * AffineMap::one};
        std::vector<float> expected;
        for (std::int64_t c = 0; c < shape[0]; ++c)
          for (std::int64_t y = 0; y < shape[1]; ++y)
            for (std::int64_t x = 0; x < shape[2]; ++x)
              expected.push_back(static_cast<float>(image.at(c, y + down, x + right)) * 0.7F);
        ASSERT_EQ(bits(distort(image, map, 0.7F)), bits(expected)) << shape.text() << down << ' ' << right;
        // As the general way would, which a turn too small to show takes.
        AffineMap general = map;
        general.column_per_row = 1;
        ASSERT_EQ(bits(distort(image, general, 0.7F)), bits(expected))
            << shape.text() << down << ' ' << right;
      }
  }
}

/// Bilinear interpolation at the exact place, in double precision. Places are rounded to 1/256 of a pixel,
/// so by 1/512 along each axis, where the picture changes by 255 a pixel at most.
TEST(Distorter, IsBilinearInterpolation) {
  constexpr double one = static_cast<double>(AffineMap::one);
  double largest = 0;
  for (const Shape& shape : shapes) {
    const OneImage image = random_bytes(shape, 4);
    const Augmentation augmentation(
        {.shift = std::min(shape[1], shape[2]) - 1, .rotate = 180, .shear = 0.5, .zoom = 0.9}, 5, shape, "");
    for (std::int64_t row = 0; row < 60; ++row) {
      const AffineMap map = augmentation.map(1, row);
      const std::vector<float> found = distort(image, map);
      std::size_t i = 0;
      for (std::int64_t c = 0; c < shape[0]; ++c)
        for (std::int64_t y = 0; y < shape[1]; ++y)
          for (std::int64_t x = 0; x < shape[2]; ++x) {
            const auto fx = static_cast<double>(x), fy = static_cast<double>(y);
            const double at_row = (static_cast<double>(map.row) + fy * static_cast<double>(map.row_per_row) +
                                   fx * static_cast<double>(map.row_per_column)) /
                                  one;
            const double at_column =
                (static_cast<double>(map.column) + fy * static_cast<double>(map.column_per_row) +
                 fx * static_cast<double>(map.column_per_column)) /
                one;
            double expected = 0;
            for (const double r : {std::floor(at_row), std::floor(at_row) + 1})
              for (const double s : {std::floor(at_column), std::floor(at_column) + 1})
                expected += (1 - std::abs(at_row - r)) * (1 - std::abs(at_column - s)) *
                            image.at(c, static_cast<std::int64_t>(r), static_cast<std::int64_t>(s));
            ASSERT_NEAR(found[i], expected, 2 * 255.0 / 512 + 1e-4) << shape.text() << " pixel " << i;
            largest = std::max(largest, std::abs(found[i] - expected));
            ++i;
          }
    }
  }
  EXPECT_GT(largest, 0.1) << "places are rounded: was anything interpolated at all?";
}

TEST(Distorter, IsExactOnBytes) {
  const OneImage image = random_bytes({1, 28, 28}, 6);
  const Augmentation augmentation({.shift = 2, .rotate = 15, .zoom = 0.1}, 5, image.info().image, "");
  for (std::int64_t row = 0; row < 50; ++row)
    for (const float value : distort(image, augmentation.map(1, row))) {
      ASSERT_EQ(value * 65536, std::floor(value * 65536));
      ASSERT_LE(value, 255);
      ASSERT_GE(value, 0);
    }
}

}  // namespace
}  // namespace lockstep::data
