// Vectors of floats for the target that is being compiled; included once for each (see kernels.cpp).
//
// Channels lie in lanes. What is left behind the last full vector is a half vector where that suffices: 24
// channels are one and a half AVX-512 registers, not two.
#if defined(LOCKSTEP_FUSED_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_VECTORS_INL_H_
#undef LOCKSTEP_FUSED_VECTORS_INL_H_
#else
#define LOCKSTEP_FUSED_VECTORS_INL_H_
#endif

#include <hwy/highway.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Loops over registers must vanish, or the registers become memory. Those over 25 taps are the longest.
#define LOCKSTEP_UNROLL _Pragma("GCC unroll 32")

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Full = hn::ScalableTag<float>;
constexpr std::int64_t lanes = hn::MaxLanes(Full());
constexpr std::int64_t half_lanes = lanes > 1 ? lanes / 2 : 1;
using Half = hn::CappedTag<float, half_lanes>;

constexpr int registers = lanes == 16 || HWY_ARCH_ARM_A64 ? 32 : 16;

template <class D>
using Vector = hn::Vec<D>;

/// a · b + c, rounded once. Where the target has no such instruction, lane by lane: slow, and the same bits.
template <class D>
HWY_INLINE Vector<D> fma(D d, Vector<D> a, Vector<D> b, Vector<D> c) {
#if HWY_NATIVE_FMA
  (void)d;
  return hn::MulAdd(a, b, c);
#else
  constexpr std::int64_t n = hn::MaxLanes(D());
  HWY_ALIGN float x[n], y[n], z[n];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (std::int64_t i = 0; i < n; ++i) z[i] = __builtin_fmaf(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

/// The first `count` floats at p, then zeros; touches no more than these.
template <class D>
HWY_INLINE Vector<D> load(D d, const float* HWY_RESTRICT p, std::int64_t count) {
  constexpr std::int64_t n = hn::MaxLanes(D());
  if (count >= n) return hn::LoadU(d, p);
  if constexpr (n == 1) return hn::Zero(d);  // Highway's masked load of one lane reads it before it looks
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float some[n] = {};
  for (std::int64_t i = 0; i < count; ++i) some[i] = p[i];
  return hn::Load(d, some);
#else
  return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, p);
#endif
}

/// Writes the first `count` lanes.
template <class D>
HWY_INLINE void store(D d, Vector<D> v, float* HWY_RESTRICT p, std::int64_t count) {
  constexpr std::int64_t n = hn::MaxLanes(D());
  if (count >= n) {
    hn::StoreU(v, d, p);
    return;
  }
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN float some[n];
  hn::Store(v, d, some);
  for (std::int64_t i = 0; i < count; ++i) p[i] = some[i];
#else
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(count)), d, p);
#endif
}

inline void clear(float* p, std::int64_t count) {
  std::memset(p, 0, static_cast<std::size_t>(count) * sizeof(float));
}

/// Whether kCount floats, an even number, are all +0: -0 is not, its sign bit is set.
template <int kCount>
HWY_INLINE bool are_zero(const float* p) {
  static_assert(kCount % 2 == 0);
  std::uint64_t bits = 0;
  for (int i = 0; i < kCount; i += 2) {
    std::uint64_t pair = 0;
    std::memcpy(&pair, p + i, sizeof(pair));
    bits |= pair;
  }
  return bits == 0;
}

/// Whether numbers are finite: then zero times each of them is zero, and the sum of that.
class FiniteCheck {
 public:
  HWY_INLINE FiniteCheck() {
    for (Vector<Full>& zero : zero_) zero = hn::Zero(Full());
  }
  /// Calls in a row should have different constants for `chain`, for the sake of speed.
  HWY_INLINE void add(int chain, Vector<Full> numbers) {
    zero_[chain % chains] = fma(Full(), numbers, hn::Zero(Full()), zero_[chain % chains]);
  }
  [[nodiscard]] HWY_INLINE bool all_finite() const {
    const Vector<Full> sum = hn::Add(hn::Add(zero_[0], zero_[1]), hn::Add(zero_[2], zero_[3]));
    return hn::AllTrue(Full(), hn::Eq(sum, hn::Zero(Full())));
  }

  static constexpr int chains = 4;

 private:
  Vector<Full> zero_[chains];
};

inline bool all_finite(const float* p, std::int64_t count) {
  FiniteCheck check;
  std::int64_t i = 0;
  for (; i + FiniteCheck::chains * lanes <= count; i += FiniteCheck::chains * lanes) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < FiniteCheck::chains; ++n) check.add(n, hn::LoadU(Full(), p + i + n * lanes));
  }
  for (; i < count; i += lanes) check.add(0, load(Full(), p + i, count - i));
  return check.all_finite();
}

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Calls f(tag, first, count) for each vector of channels: `count` of its lanes are channels. Where all are
/// it is a std::integral_constant, so that an f that takes `auto` is compiled without masks for these; where
/// little time goes, f takes an integer, which means less code.
template <class F>
HWY_INLINE void for_each_vector(std::int64_t channels, F f) {
  std::int64_t c = 0;
  for (; channels - c >= lanes; c += lanes) f(Full(), c, std::integral_constant<std::int64_t, lanes>());
  if (channels - c > half_lanes)
    f(Full(), c, channels - c);
  else if (c < channels)
    f(Half(), c, channels - c);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
