// Runs, rows of taps over all input channels (alive-inl.h), as sums in registers.
#if defined(LOCKSTEP_FUSED_RUN_PART_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_RUN_PART_INL_H_
#undef LOCKSTEP_FUSED_RUN_PART_INL_H_
#else
#define LOCKSTEP_FUSED_RUN_PART_INL_H_
#endif

#include <type_traits>

#include "device/cpu/fused/sparse-inl.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Vectors of a run in registers: all sixteen but one for the factor, or half of 32.
constexpr int most_vectors_of_run = registers == 32 ? 16 : 15;
constexpr std::int64_t most_of_run = most_vectors_of_run * lanes;

/// A part of a run in registers, kVectors vectors. The last one is a half where that suffices. Unless it is
/// `kFull`, only its first `last` numbers are there, which takes masks.
template <int kVectors, class Last, bool kFull>
struct RunPart {
  static constexpr int before = kVectors - 1;
  Vector<Full> sum[kVectors];  // one too many, as there are no arrays of none
  Vector<Last> end;

  HWY_INLINE void load_from(const float* HWY_RESTRICT c, std::int64_t last) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) sum[n] = hn::LoadU(Full(), c + n * lanes);
    end = kFull ? hn::LoadU(Last(), c + before * lanes) : load(Last(), c + before * lanes, last);
  }
  HWY_INLINE void store_to(float* HWY_RESTRICT c, std::int64_t last) const {
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) hn::StoreU(sum[n], Full(), c + n * lanes);
    if constexpr (kFull)
      hn::StoreU(end, Last(), c + before * lanes);
    else
      store(Last(), end, c + before * lanes, last);
  }
  /// Adds a factor times a row.
  HWY_INLINE void add_row(float number, const float* HWY_RESTRICT row) {
    const Vector<Full> factor = hn::Set(Full(), number);
    __asm__("" : "+r"(row));  // as in RowBlock
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) sum[n] = fma(Full(), factor, hn::LoadU(Full(), row + n * lanes), sum[n]);
    const Vector<Last> row_end = hn::LoadU(Last(), row + before * lanes);
    if constexpr (std::is_same_v<Last, Full>)
      end = fma(Full(), factor, row_end, end);
    else
      end = fma(Last(), hn::LowerHalf(Last(), factor), row_end, end);
  }
};
using LongestRunPart = RunPart<most_vectors_of_run, Full, true>;
/// Calls f with a part for so many numbers.
template <class F>
HWY_INLINE void with_run_part(std::int64_t numbers, F f) {
  with_vectors<most_vectors_of_run>((numbers + lanes - 1) / lanes, [&](auto vectors) {
    const std::int64_t last = (numbers - 1) % lanes + 1;
    if (last == lanes)
      f(RunPart<vectors, Full, true>());
    else if (last == half_lanes)
      f(RunPart<vectors, Half, true>());
    else
      f(RunPart<vectors, Full, false>());
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
