// What a direct convolution may leave out: taps that meet zeros only, in the background of an image.
//
// In the four outputs of a window a tap meets four numbers of a plane, those in rows r and r + 1, columns c
// and c + 1. The map has a bit for each (r, c): whether one of the four is not zero.
#if defined(LOCKSTEP_FUSED_TAP_MAP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_TAP_MAP_INL_H_
#undef LOCKSTEP_FUSED_TAP_MAP_INL_H_
#else
#define LOCKSTEP_FUSED_TAP_MAP_INL_H_
#endif

#include <algorithm>
#include <bit>

#include "device/cpu/fused/direct_planes-inl.h"
#include "device/cpu/fused/sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class TapMap {
 public:
  TapMap(const DirectPlanes& planes, Scratch& scratch)
      : rows_(planes.count * planes.height),
        words_of_a_row_(round_up(planes.width, step) / step),
        words_(scratch.take<std::uint64_t>(rows_ * words_of_a_row_)) {}

  /// From a sample's planes. Returns how many of their numbers are not zero.
  std::int64_t fill(const DirectPlanes& planes) const {
    std::int64_t not_zero = 0;
    std::uint64_t* word = words_;
    const float* numbers = planes.data;
    for (std::int64_t row = 0; row < rows_; ++row, numbers += planes.width)
      for (std::int64_t c = 0; c < planes.width; c += step) {
        *word = nonzero_mask(numbers + c, std::min<std::int64_t>(planes.width - c, 64));
        not_zero += std::popcount(static_cast<std::uint32_t>(*word++));
      }
    // The last row of a plane meets the next plane's first, which is of no use, as is what comes of it.
    for (std::int64_t i = 0; i < (rows_ - 1) * words_of_a_row_; ++i) {
      const std::uint64_t column = words_[i] | words_[i + words_of_a_row_];
      words_[i] = column | column >> 1U;
    }
    return not_zero;
  }
  /// Zeros count, too: for weights that are not finite, as zero times infinity is NaN.
  void fill_with_ones() const { std::fill_n(words_, rows_ * words_of_a_row_, ~std::uint64_t{0}); }

  /// The bits of a row: of all planes' rows, one after the other.
  [[nodiscard]] const std::uint64_t* row(std::int64_t index) const {
    return words_ + index * words_of_a_row_;
  }
  /// From one row to the next.
  [[nodiscard]] std::int64_t stride() const { return words_of_a_row_; }
  /// Those from a column on.
  template <int kCount>
  static HWY_INLINE std::uint32_t bits(const std::uint64_t* row, std::int64_t column) {
    static_assert(kCount <= 63 - step);
    constexpr std::uint32_t asked = (1U << kCount) - 1;
    return static_cast<std::uint32_t>(row[column / step] >> static_cast<unsigned>(column % step)) & asked;
  }

 private:
  /// Words overlap, so that no bits lie in two: word k is of columns from step · k on. The last of its 64
  /// bits lacks its neighbour, and is not asked for.
  static constexpr std::int64_t step = 32;

  std::int64_t rows_, words_of_a_row_;
  std::uint64_t* words_;
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
