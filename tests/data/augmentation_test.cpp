#include "data/augmentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "io/error_of.h"

namespace lockstep::data {
namespace {

using lockstep::testing::error_of;
using ::testing::HasSubstr;

constexpr double one = static_cast<double>(AffineMap::one);

Augmentation make(const config::Augment& settings, std::uint64_t seed = 7, const Shape& image = {1, 28, 20}) {
  return {settings, seed, image, "x.yaml"};
}

TEST(Augmentation, IsAFunctionOfSeedEpochAndRow) {
  const config::Augment all{.shift = 3, .rotate = 20, .shear = 0.2, .zoom = 0.2};
  const Augmentation augmentation = make(all);
  EXPECT_EQ(augmentation.map(3, 41), make(all).map(3, 41));
  std::set<std::int64_t> different;
  for (const std::uint64_t seed : {7U, 8U})
    for (const std::int64_t epoch : {1, 2, 1000})
      for (const std::int64_t row : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 32})
        different.insert(make(all, seed).map(epoch, row).row_per_column);
  EXPECT_EQ(different.size(), 18U);
}

/// The numbers are those of this very generator: a later version must train on the same images.
TEST(Augmentation, KeepsItsNumbers) {
  const AffineMap map = make({.shift = 2, .rotate = 10, .shear = 0.1, .zoom = 0.1}, 1, {1, 28, 28}).map(1, 0);
  EXPECT_EQ(map, make({.shift = 2, .rotate = 10, .shear = 0.1, .zoom = 0.1}, 1, {3, 28, 28}).map(1, 0));
  EXPECT_EQ(map, (AffineMap{-7105064560, 8077102975, 4052368573, 156924839, -556766278, 4036885023}));
}

TEST(Augmentation, WithoutLimitsLeavesImagesAsTheyAre) {
  for (std::int64_t row = 0; row < 100; ++row) EXPECT_EQ(make({}).map(1 + row, row), AffineMap{});
}

TEST(Augmentation, ShiftsByEveryNumberOfWholePixels) {
  const Augmentation augmentation = make({.shift = 2});
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  for (std::int64_t row = 0; row < 1000; ++row) {
    const AffineMap map = augmentation.map(1, row);
    ASSERT_TRUE(map.moves_whole_pixels());
    seen.emplace(map.row / AffineMap::one, map.column / AffineMap::one);
  }
  EXPECT_EQ(seen.size(), 25U);
  EXPECT_EQ(*seen.begin(), std::pair(std::int64_t{-2}, std::int64_t{-2}));
  EXPECT_EQ(*seen.rbegin(), std::pair(std::int64_t{2}, std::int64_t{2}));
}

/// Takes maps apart again: the inverse of a map is magnification · rotation · shear, and it brings the centre
/// to the centre plus the shift.
TEST(Augmentation, StaysWithinItsLimitsAndUsesThem) {
  const config::Augment limits{.shift = 3, .rotate = 25, .shear = 0.3, .zoom = 0.4};
  const Augmentation augmentation = make(limits);
  double most_degrees = 0, most_shear = 0, least_zoom = 1, most_zoom = 1, most_shift = 0;
  for (std::int64_t row = 0; row < 2000; ++row) {
    const AffineMap map = augmentation.map(5, row);
    const double a = static_cast<double>(map.row_per_row) / one;
    const double b = static_cast<double>(map.row_per_column) / one;
    const double c = static_cast<double>(map.column_per_row) / one;
    const double d = static_cast<double>(map.column_per_column) / one;
    const double zoom = 1 / std::sqrt(a * d - b * c);
    const double degrees = std::atan2(-b, a) * 180 / std::numbers::pi;
    // Columns move by `shear` for each row before they are turned and magnified: the inverse undoes it last.
    const double shear = -(a * c + b * d) / (a * a + b * b);
    EXPECT_NEAR(zoom, 1 / std::hypot(a, b), 1e-8);

    // Solve map(centre + shift) = centre.
    const double down = 13.5 - static_cast<double>(map.row) / one;
    const double right = 9.5 - static_cast<double>(map.column) / one;
    const double at_row = (d * down - b * right) / (a * d - b * c);
    const double at_column = (a * right - c * down) / (a * d - b * c);
    for (const double shift : {at_row - 13.5, at_column - 9.5}) {
      EXPECT_NEAR(shift, std::round(shift), 1e-7);
      most_shift = std::max(most_shift, std::abs(shift));
    }
    most_degrees = std::max(most_degrees, std::abs(degrees));
    most_shear = std::max(most_shear, std::abs(shear));
    least_zoom = std::min(least_zoom, zoom);
    most_zoom = std::max(most_zoom, zoom);
  }
  EXPECT_NEAR(most_shift, limits.shift, 1e-6);
  const auto nearly = [](double limit) {
    return ::testing::AllOf(::testing::Gt(0.99 * limit), ::testing::Le(limit + 1e-7));
  };
  EXPECT_THAT(most_degrees, nearly(limits.rotate));
  EXPECT_THAT(most_shear, nearly(limits.shear));
  EXPECT_THAT(most_zoom - 1, nearly(limits.zoom));
  EXPECT_THAT(1 - least_zoom, nearly(limits.zoom));
}

TEST(Augmentation, RefusesWhatCannotBeDistorted) {
  const Error flat = error_of([] { make({.shift = 1}, 1, {784}); });
  EXPECT_EQ(flat.code(), ExitCode::bad_config);
  EXPECT_THAT(flat.what(), HasSubstr("x.yaml: data.augment"));
  const Error far = error_of([] { make({.shift = 20}, 1, {1, 28, 20}); });
  EXPECT_EQ(far.code(), ExitCode::bad_config);
  EXPECT_THAT(far.what(), HasSubstr("data.augment.shift is 20"));
  make({.shift = 19}, 1, {1, 28, 20});
}

}  // namespace
}  // namespace lockstep::data
