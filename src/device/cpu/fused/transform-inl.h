// The matrices of cook_toom.h applied to vectors of channels. Coefficients are known to the compiler: zeros
// cost nothing, ones no multiplication. The order of additions is written down here, so all targets agree.
#if defined(LOCKSTEP_FUSED_TRANSFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_TRANSFORM_INL_H_
#undef LOCKSTEP_FUSED_TRANSFORM_INL_H_
#else
#define LOCKSTEP_FUSED_TRANSFORM_INL_H_
#endif

#include "device/cpu/fused/cook_toom.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// The n×n points of a transformed tile or filter in memory, row by row, each `distance` floats from the one
/// before. Held by value: a store of vectors may change anything that is in memory as far as the compiler
/// knows, so it would read the distance again after each.
template <std::int64_t n, class Float>
struct Points {
  Float* first;
  std::int64_t distance;

  template <class D>
  HWY_INLINE void load_row(D d, std::int64_t i, Vector<D>* HWY_RESTRICT row) const {
    const float* p = first + i * n * distance;
    LOCKSTEP_UNROLL
    for (std::int64_t j = 0; j < n; ++j, p += distance) row[j] = hn::LoadU(d, p);
  }
  template <class D>
  HWY_INLINE void load_column(D d, std::int64_t j, Vector<D>* HWY_RESTRICT column) const {
    const float* p = first + j * distance;
    LOCKSTEP_UNROLL
    for (std::int64_t i = 0; i < n; ++i, p += n * distance) column[i] = hn::LoadU(d, p);
  }
  template <class D>
  HWY_INLINE void store_row(D d, const Vector<D>* HWY_RESTRICT row, std::int64_t i) const {
    Float* p = first + i * n * distance;
    LOCKSTEP_UNROLL
    for (std::int64_t j = 0; j < n; ++j, p += distance) hn::StoreU(row[j], d, p);
  }
  template <class D>
  HWY_INLINE void store_column(D d, const Vector<D>* HWY_RESTRICT column, std::int64_t j) const {
    Float* p = first + j * distance;
    LOCKSTEP_UNROLL
    for (std::int64_t i = 0; i < n; ++i, p += n * distance) hn::StoreU(column[i], d, p);
  }
};

/// A sum of products with constants, begun by its first term.
template <class D>
struct Sum {
  Vector<D> value;
  bool begun = false;

  HWY_INLINE void add(D d, float factor, Vector<D> x) {
    if (factor == 0) return;
    if (!begun)
      value = factor == 1 ? x : hn::Mul(hn::Set(d, factor), x);
    else if (factor == 1)
      value = hn::Add(value, x);
    else if (factor == -1)
      value = hn::Sub(value, x);
    else
      value = fma(d, hn::Set(d, factor), x, value);
    begun = true;
  }
};

/// Row p of M times in.
template <class D, class M>
HWY_INLINE Vector<D> at_point(D d, const M& m, int p, const Vector<D>* HWY_RESTRICT in) {
  Sum<D> sum;
  LOCKSTEP_UNROLL
  for (int j = M::columns - 1; j >= 0; --j) sum.add(d, m.row[p][j], in[j]);
  return sum.value;
}

/// out = M in: values at the points. The rows of a pair ±a are the sum and the difference of their even and
/// odd parts.
template <class D, class M>
HWY_INLINE void to_points(D d, const M& m, const Vector<D>* HWY_RESTRICT in, Vector<D>* HWY_RESTRICT out) {
  constexpr int last = M::rows - 1;
  out[0] = at_point(d, m, 0, in);
  out[last] = at_point(d, m, last, in);
  LOCKSTEP_UNROLL
  for (int p = 1; p < last; p += 2) {
    Sum<D> even;
    Sum<D> odd;
    LOCKSTEP_UNROLL
    for (int j = M::columns - 1; j >= 0; --j) (j % 2 == 0 ? even : odd).add(d, m.row[p][j], in[j]);
    out[p] = hn::Add(even.value, odd.value);
    out[p + 1] = hn::Sub(even.value, odd.value);
  }
}

/// out = Mᵀ in.
template <class D, class M>
HWY_INLINE void from_points(D d, const M& m, const Vector<D>* HWY_RESTRICT in, Vector<D>* HWY_RESTRICT out) {
  constexpr int last = M::rows - 1;
  Vector<D> parts[M::rows];  // of a pair: sum, then difference
  LOCKSTEP_UNROLL
  for (int p = 1; p < last; p += 2) {
    parts[p] = hn::Add(in[p], in[p + 1]);
    parts[p + 1] = hn::Sub(in[p], in[p + 1]);
  }
  LOCKSTEP_UNROLL
  for (int j = 0; j < M::columns; ++j) {
    Sum<D> sum;
    sum.add(d, m.row[0][j], in[0]);
    sum.add(d, m.row[last][j], in[last]);
    LOCKSTEP_UNROLL
    for (int p = 1; p < last; p += 2) sum.add(d, m.row[p][j], parts[j % 2 == 0 ? p : p + 1]);
    out[j] = sum.value;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
