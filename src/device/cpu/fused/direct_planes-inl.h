// What a direct convolution reads: the channels of a sample as planes with the padding around them, small
// enough for the first two levels of cache.
#if defined(LOCKSTEP_FUSED_DIRECT_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DIRECT_PLANES_INL_H_
#undef LOCKSTEP_FUSED_DIRECT_PLANES_INL_H_
#else
#define LOCKSTEP_FUSED_DIRECT_PLANES_INL_H_
#endif

#include <algorithm>

#include "device/cpu/fused/problem.h"
#include "device/cpu/fused/scratch.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// The planes of one sample, one after the other.
struct DirectPlanes {
  /// Zeros behind the last one, for vectors that begin in it.
  static constexpr std::int64_t overhang = 16;
  static_assert(lanes - 1 <= overhang, "a vector's first number is there");

  std::int64_t count, height, width;
  float* data;

  /// Those of the problem: all that the windows read.
  DirectPlanes(const Problem& problem, Scratch& scratch)
      : count(problem.in_channels),
        height(2 * problem.window_rows() + problem.kernel - 1),
        width(2 * problem.window_columns() + problem.kernel - 1),
        data(scratch.take<float>(floats() + overhang)) {}
  [[nodiscard]] std::int64_t floats_of_one() const { return height * width; }
  [[nodiscard]] std::int64_t floats() const { return count * floats_of_one(); }

  /// Takes over a sample's channels.
  void copy_in(const Problem& problem, const float* x) const {
    clear(data + floats(), overhang);
    // From one column of the sample to the next, and from one channel to the next.
    const std::int64_t step = problem.plain_src ? 1 : count;
    const std::int64_t next = problem.plain_src ? problem.in_height * problem.in_width : 1;
    // Columns [begin, end) of a plane are within the sample.
    const std::int64_t begin = std::min(problem.pad_left, width);
    const std::int64_t end = std::min(problem.pad_left + problem.in_width, width);
    float* to = data;
    for (std::int64_t c = 0; c < count; ++c) {
      for (std::int64_t row = 0; row < height; ++row, to += width) {
        const std::int64_t r = row - problem.pad_top;
        if (r < 0 || r >= problem.in_height) {
          clear(to, width);
          continue;
        }
        const float* const from = x + r * problem.in_width * step + c * next;
        for (std::int64_t j = 0; j < begin; ++j) to[j] = 0;
        if (step == 1)
          std::copy_n(from, end - begin, to + begin);
        else
          for (std::int64_t j = begin; j < end; ++j) to[j] = from[(j - begin) * step];
        for (std::int64_t j = end; j < width; ++j) to[j] = 0;
      }
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
