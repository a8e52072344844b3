// Samples with the padding around them, channels-last.
#if defined(LOCKSTEP_FUSED_PADDED_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_PADDED_PLANES_INL_H_
#undef LOCKSTEP_FUSED_PADDED_PLANES_INL_H_
#else
#define LOCKSTEP_FUSED_PADDED_PLANES_INL_H_
#endif

#include <algorithm>

#include "device/cpu/fused/problem.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

struct PaddedPlanes {
  static constexpr std::int64_t overhang = 16;  ///< zeros behind a plane, for vectors that begin in it

  static std::int64_t sample_floats(const Problem& problem) {
    return problem.in_height * problem.in_width * problem.in_channels;
  }
  /// Extents of a padded sample.
  static std::int64_t plane_width(const Problem& problem) { return problem.out_width + problem.kernel - 1; }
  static std::int64_t plane_height(const Problem& problem) { return problem.out_height + problem.kernel - 1; }

  /// Columns of a sample that lie in the plane; it has as many on their left as `left`.
  struct Columns {
    std::int64_t left, count;
    explicit Columns(const Problem& problem)
        : left(std::min(problem.pad_left, plane_width(problem))),
          count(std::min(problem.in_width, plane_width(problem) - left)) {}
  };

  /// A sample with the padding around it.
  static void copy_in(const Problem& problem, const float* x, float* plane) {
    const std::int64_t channels = problem.in_channels;
    const std::int64_t width = plane_width(problem);
    const Columns columns(problem);
    for (std::int64_t row = 0; row < plane_height(problem); ++row, plane += width * channels) {
      const std::int64_t from = row - problem.pad_top;
      if (from < 0 || from >= problem.in_height) {
        clear(plane, width * channels);
        continue;
      }
      const std::int64_t end = columns.left + columns.count;
      clear(plane, columns.left * channels);
      std::copy_n(x + from * problem.in_width * channels, columns.count * channels,
                  plane + columns.left * channels);
      clear(plane + end * channels, (width - end) * channels);
    }
    clear(plane, overhang);
  }
  /// The other way, without the padding; zeros where no patch reaches.
  static void copy_out(const Problem& problem, const float* plane, float* dx) {
    const std::int64_t channels = problem.in_channels;
    const std::int64_t width = plane_width(problem);
    const Columns columns(problem);
    for (std::int64_t row = 0; row < problem.in_height; ++row, dx += problem.in_width * channels) {
      const std::int64_t from = row + problem.pad_top;
      const std::int64_t count = from < plane_height(problem) ? columns.count : 0;
      std::copy_n(plane + (from * width + columns.left) * channels, count * channels, dx);
      clear(dx + count * channels, (problem.in_width - count) * channels);
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
