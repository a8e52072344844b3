#include "data/augmentation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/portable_cos.h"

namespace lockstep::data {
namespace {

/// Uniform in (-limit, limit).
double symmetric(std::uint32_t word, double limit) {
  return ((static_cast<double>(word) + 0.5) * 0x1p-31 - 1) * limit;
}

/// Uniform in {-limit, …, limit}.
std::int64_t symmetric(std::uint32_t word, std::int64_t limit) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(2 * limit + 1)) >> 32U) -
         limit;
}

std::int64_t fixed_point(double number) {
  return static_cast<std::int64_t>(std::floor(number * static_cast<double>(AffineMap::one) + 0.5));
}

}  // namespace

Augmentation::Augmentation(const config::Augment& settings, std::uint64_t seed, const Shape& image,
                           const std::string& source)
    : settings_(settings), key_(seed, Purpose::augmentation, 0) {
  if (image.rank() != 3)
    fail(ExitCode::bad_config,
         "{}: data.augment distorts images of height and width, but data.train.images has samples of {}: "
         "leave it out",
         source, image.text());
  const std::int64_t smallest = std::min(image[1], image[2]);
  if (settings.shift >= smallest)
    fail(ExitCode::bad_config,
         "{}: data.augment.shift is {}, but the images of data.train are {}: choose less than {}", source,
         settings.shift, image.text(), smallest);
  centre_row_ = static_cast<double>(image[1] - 1) / 2;
  centre_column_ = static_cast<double>(image[2] - 1) / 2;
}

AffineMap Augmentation::map(std::int64_t epoch, std::int64_t row) const {
  check(1 <= epoch && epoch <= std::numeric_limits<std::uint32_t>::max(), "epochs count from 1 in 32 bits");
  const auto index = static_cast<std::uint64_t>(row);
  const auto forms = key_.words(static_cast<std::uint32_t>(epoch), index, 0);
  const auto moves = key_.words(static_cast<std::uint32_t>(epoch), index, 1);

  const double half_turns = symmetric(forms[0], settings_.rotate) / 180;
  const double shear = symmetric(forms[1], settings_.shear);
  const double magnification = 1 + symmetric(forms[2], settings_.zoom);
  const double cosine = portable_cos_pi(std::abs(half_turns));
  const double sine = std::copysign(portable_cos_pi(std::abs(0.5 - std::abs(half_turns))), half_turns);

  const double row_per_row = cosine / magnification;
  const double row_per_column = -sine / magnification;
  const double column_per_row = sine / magnification - shear * row_per_row;
  const double column_per_column = cosine / magnification - shear * row_per_column;
  const double down = centre_row_ + static_cast<double>(symmetric(moves[0], settings_.shift));
  const double right = centre_column_ + static_cast<double>(symmetric(moves[1], settings_.shift));
  return {.row = fixed_point(centre_row_ - row_per_row * down - row_per_column * right),
          .column = fixed_point(centre_column_ - column_per_row * down - column_per_column * right),
          .row_per_row = fixed_point(row_per_row),
          .row_per_column = fixed_point(row_per_column),
          .column_per_row = fixed_point(column_per_row),
          .column_per_column = fixed_point(column_per_column)};
}

}  // namespace lockstep::data
