// Shared by the products that skip zeros of their left factor: behind a ReLU two in three of a layer's
// outputs and of their gradients are zero, and adding zero times a finite number changes nothing but perhaps
// the sign of a zero.
//
// C = A B is computed row by row: a block of C's row lies in registers while the numbers of A's row that are
// not zero pass by, each multiplied by a row of B from the first-level cache. So columns are in lanes, and
// each element is one chain of fused multiply-adds in the order of B's rows. Where B is not finite all of A's
// numbers count: zero times infinity is NaN.
#if defined(LOCKSTEP_FUSED_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_SPARSE_INL_H_
#undef LOCKSTEP_FUSED_SPARSE_INL_H_
#else
#define LOCKSTEP_FUSED_SPARSE_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <type_traits>

#include "base/partition.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Vectors of a row of C that lie in registers: the more chains of multiply-adds, the better is their latency
/// hidden, and the less it weighs that the numbers which are not zero are irregular.
constexpr int most_vectors = registers == 32 ? 8 : 12;

/// Columns cut into panels of about equal width, at most most_vectors.
class Panels {
 public:
  explicit Panels(std::int64_t columns) : columns_(columns), vectors_(round_up(columns, lanes) / lanes) {}
  [[nodiscard]] std::int64_t count() const { return (vectors_ + most_vectors - 1) / most_vectors; }
  /// Its columns, among them those at the end that there are only for the vector's sake.
  [[nodiscard]] Range columns(std::int64_t panel) const {
    const Range vectors = piece(vectors_, count(), panel);
    return {vectors.begin * lanes, vectors.end * lanes};
  }
  /// Lanes of a panel's last vector that are columns.
  [[nodiscard]] std::int64_t last_lanes(std::int64_t panel) const {
    return std::min(lanes, columns_ - (columns(panel).end - lanes));
  }

 private:
  std::int64_t columns_, vectors_;
};

/// Calls f with the number of vectors as a constant, for 1 to most_vectors.
template <int kMost = most_vectors, class F>
HWY_INLINE void with_vectors(std::int64_t vectors, F f) {
  if constexpr (kMost > 0) {
    if (vectors == kMost) return f(std::integral_constant<int, kMost>());
    with_vectors<kMost - 1>(vectors, f);
  }
}

/// -0 is zero. NaN is not: with AVX Highway's Ne() says that it does not differ.
HWY_INLINE hn::Mask<Full> is_not_zero(Vector<Full> numbers) {
  return hn::Not(hn::Eq(numbers, hn::Zero(Full())));
}

/// Those of a vector, as bits.
HWY_INLINE std::uint64_t nonzero_of_vector(Vector<Full> numbers) {
  std::uint8_t some[8] = {};
  hn::StoreMaskBits(Full(), is_not_zero(numbers), some);
  return some[0] | std::uint64_t{some[1]} << 8U;
}

/// Bit k: whether number k of `count`, at most 64, is not zero.
inline std::uint64_t nonzero_mask(const float* HWY_RESTRICT a, std::int64_t count) {
  std::uint64_t bits = 0;
  for (std::int64_t k = 0; k < count; k += lanes)
    bits |= nonzero_of_vector(load(Full(), a + k, count - k)) << static_cast<unsigned>(k);
  return bits;
}

/// A block of a row of C.
template <int kVectors>
struct RowBlock {
  Vector<Full> sum[kVectors];

  HWY_INLINE void clear() {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n) sum[n] = hn::Zero(Full());
  }
  /// The last vector has `last` numbers there.
  HWY_INLINE void load_from(const float* HWY_RESTRICT c, std::int64_t last) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors - 1; ++n) sum[n] = hn::LoadU(Full(), c + n * lanes);
    sum[kVectors - 1] = load(Full(), c + (kVectors - 1) * lanes, last);
  }
  HWY_INLINE void store_to(float* HWY_RESTRICT c, std::int64_t last) const {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors - 1; ++n) hn::StoreU(sum[n], Full(), c + n * lanes);
    store(Full(), sum[kVectors - 1], c + (kVectors - 1) * lanes, last);
  }
  /// The sum of the block at `c`, on the left, and this one.
  HWY_INLINE void add_left(const float* HWY_RESTRICT c) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n) sum[n] = hn::Add(hn::LoadU(Full(), c + n * lanes), sum[n]);
  }
  /// -0 becomes +0.
  HWY_INLINE void add_zero() {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n) sum[n] = hn::Add(sum[n], hn::Zero(Full()));
  }
  HWY_INLINE void relu() {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n)  // not Max: NaN stays NaN
      sum[n] = hn::IfThenElse(hn::Lt(sum[n], hn::Zero(Full())), hn::Zero(Full()), sum[n]);
  }
  /// Adds a factor times a row.
  HWY_INLINE void add_row(Vector<Full> factor, const float* HWY_RESTRICT row) {
    // Hides from GCC how this pointer was made: it would keep one for each vector, more than there are
    // registers, instead of one and constant offsets.
    __asm__("" : "+r"(row));
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n)
      sum[n] = fma(Full(), factor, hn::LoadU(Full(), row + n * lanes), sum[n]);
  }
  /// Adds those of A's numbers whose bits are set, a[k · step], times rows of B.
  HWY_INLINE void add_rows(std::uint64_t mask, const float* HWY_RESTRICT a, std::int64_t step,
                           const float* HWY_RESTRICT b) {
    for (; mask != 0; mask &= mask - 1) {
      const std::int64_t k = std::countr_zero(mask);
      add_row(hn::Set(Full(), a[k * step]), b + k * (kVectors * lanes));
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
