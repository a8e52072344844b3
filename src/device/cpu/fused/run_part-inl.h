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

/// A part of a run in registers, kVectors vectors; the last one is a half where exactly that is left. Rows
/// have room for all of it. Where sums are loaded from, and stored to, only its first `last` numbers are
/// there, which takes masks, unless it is `kFull`.
template <int kVectors, class Last, bool kFull>
struct RunPart {
  static constexpr int before = kVectors - 1;
  Vector<Full> sum[kVectors];  // one too many, as there are no arrays of none
  Vector<Last> last_sum;

  HWY_INLINE void load_from(const float* HWY_RESTRICT c, std::int64_t last) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) sum[n] = hn::LoadU(Full(), c + n * lanes);
    if constexpr (kFull)
      last_sum = hn::LoadU(Last(), c + before * lanes);
    else
      last_sum = load(Last(), c + before * lanes, last);
  }
  HWY_INLINE void store_to(float* HWY_RESTRICT c, std::int64_t last) const {
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) hn::StoreU(sum[n], Full(), c + n * lanes);
    if constexpr (kFull)
      hn::StoreU(last_sum, Last(), c + before * lanes);
    else
      store(Last(), last_sum, c + before * lanes, last);
  }
  /// Adds a factor times a row.
  HWY_INLINE void add_row(float number, const float* HWY_RESTRICT row) {
    const Vector<Full> factor = hn::Set(Full(), number);
    __asm__("" : "+r"(row));  // as in RowBlock
    LOCKSTEP_UNROLL
    for (int n = 0; n < before; ++n) sum[n] = fma(Full(), factor, hn::LoadU(Full(), row + n * lanes), sum[n]);
    const Vector<Last> last_of_row = hn::LoadU(Last(), row + before * lanes);
    if constexpr (std::is_same_v<Last, Full>)
      last_sum = fma(Full(), factor, last_of_row, last_sum);
    else
      last_sum = fma(Last(), hn::LowerHalf(Last(), factor), last_of_row, last_sum);
  }
};
using LongestRunPart = RunPart<most_vectors_of_run, Full, true>;

/// Whether the parts of a run of so many numbers, as with_run_part() chooses them, read and write no others.
constexpr bool run_parts_fit(std::int64_t numbers) {
  return numbers % half_lanes == 0;  // all are full
}
/// Calls f with the type of a part for so many numbers, at most most_of_run. `kHasRoom`: sums, too, have room
/// for all of the last vector.
template <bool kHasRoom, class F>
HWY_INLINE void with_run_part(std::int64_t numbers, F f) {
  with_vectors<most_vectors_of_run>((numbers + lanes - 1) / lanes, [&](auto vectors) {
    const std::int64_t last = (numbers - 1) % lanes + 1;
    if (last == half_lanes)
      f(std::type_identity<RunPart<vectors, Half, true>>());
    else if (kHasRoom || last == lanes)
      f(std::type_identity<RunPart<vectors, Full, true>>());
    else
      f(std::type_identity<RunPart<vectors, Full, false>>());
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
