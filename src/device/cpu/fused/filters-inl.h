// Weights between the parameter's layout, OIHW, and vectors of channels: for one channel of the other kind,
// all taps of a vector's channels.
#if defined(LOCKSTEP_FUSED_FILTERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_FILTERS_INL_H_
#undef LOCKSTEP_FUSED_FILTERS_INL_H_
#else
#define LOCKSTEP_FUSED_FILTERS_INL_H_
#endif

#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Tap t of lane i comes from w[i * stride + t]; lanes from `count` on are zero.
template <int kTaps, class D>
HWY_INLINE void load_filters(D d, const float* w, std::int64_t stride, std::int64_t count,
                             Vector<D>* HWY_RESTRICT taps) {
  constexpr std::int64_t n = hn::MaxLanes(D());
  HWY_ALIGN float table[kTaps * n] = {};
  for (std::int64_t i = 0; i < count; ++i)
    for (int t = 0; t < kTaps; ++t) table[t * n + i] = w[i * stride + t];
  for (int t = 0; t < kTaps; ++t) taps[t] = hn::Load(d, table + t * n);
}

/// The other way. Four taps of a lane are stored at a time.
template <int kTaps, class D>
HWY_INLINE void store_filters(D d, const Vector<D>* HWY_RESTRICT taps, std::int64_t stride,
                              std::int64_t count, float* w) {
  constexpr std::int64_t n = hn::MaxLanes(D());
  HWY_ALIGN float some[4 * n];
  int t = 0;
  for (; t + 4 <= kTaps; t += 4) {
    hn::StoreInterleaved4(taps[t], taps[t + 1], taps[t + 2], taps[t + 3], d, some);
    for (std::int64_t i = 0; i < count; ++i) std::memcpy(w + i * stride + t, some + 4 * i, 4 * sizeof(float));
  }
  for (; t < kTaps; ++t) {
    hn::Store(taps[t], d, some);
    for (std::int64_t i = 0; i < count; ++i) w[i * stride + t] = some[i];
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
