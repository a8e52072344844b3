#pragma once

#include <cstdint>

#include "base/philox.h"
#include "config/experiment.h"
#include "tensor/affine_map.h"
#include "tensor/shape.h"

namespace lockstep::data {

/// The random distortions of training images: a pure function of (seed, epoch, row), whatever the ranks, the
/// threads and the place in a batch, and with the same bits on every processor. Cheap to copy; thread-safe.
class Augmentation {
 public:
  /// For images of this shape. Error(bad_config) for what cannot be distorted: flat features, or images that
  /// `shift` would move out of sight. `source` names the experiment in it.
  Augmentation(const config::Augment& settings, std::uint64_t seed, const Shape& image,
               const std::string& source);

  /// With centre c, shift t, angle a, shear k and magnification m, what was at x comes to
  /// c + t + m · R(a) · S(k) · (x − c), where R turns clockwise and S adds k rows to the columns; this is the
  /// inverse. Epochs count from 1.
  [[nodiscard]] AffineMap map(std::int64_t epoch, std::int64_t row) const;

 private:
  config::Augment settings_;
  RandomKey key_;
  double centre_row_ = 0, centre_column_ = 0;
};

}  // namespace lockstep::data
