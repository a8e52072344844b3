// The end of the forward pass and the start of the backward pass: a window of 2×2 outputs, for a vector of
// channels, with bias, ReLU and pool in registers.
//
// What backward must know of them is one byte for each window and channel, the record: with a pool the
// winner's number, 0 to 3, or 4 where no gradient flows; without one a bit for each of the four that is
// alive.
#if defined(LOCKSTEP_FUSED_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINDOW_INL_H_
#undef LOCKSTEP_FUSED_WINDOW_INL_H_
#else
#define LOCKSTEP_FUSED_WINDOW_INL_H_
#endif

#include "device/cpu/fused/kernels.h"
#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// A row of windows as the rest of the network sees it, channels-last.
template <class Float, class Byte>
struct WindowRow {
  Float* y;             ///< its first output, or that output's gradient
  Byte* record;         ///< may be null
  std::int64_t height;  ///< rows of outputs: 1 with a pool and at an odd lower edge, else 2
};

template <class D>
HWY_INLINE void store_record(D /*d*/, hn::Vec<hn::RebindToSigned<D>> numbers, std::uint8_t* record) {
  const hn::Rebind<std::uint8_t, D> bytes;
  hn::StoreU(hn::DemoteTo(bytes, numbers), bytes, record);
}

template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> load_record(D /*d*/, const std::uint8_t* record) {
  const hn::Rebind<std::uint8_t, D> bytes;
  return hn::PromoteTo(hn::RebindToSigned<D>(), hn::LoadU(bytes, record));
}

/// Takes the four outputs of window `column`, bias included, to y and the record, for channels
/// [c, c + count). `stride` is that of the record's channels. `kEqual`: the four are the same number;
/// then the first wins, or the last if it is NaN.
template <bool kEqual = false, class D>
HWY_INLINE void finish_window(D d, const Problem& problem, const WindowRow<float, std::uint8_t>& row,
                              std::int64_t column, std::int64_t c, std::int64_t count, std::int64_t stride,
                              Vector<D>* HWY_RESTRICT z) {
  const hn::RebindToSigned<D> ints;
  const auto zero = hn::Zero(d);
  std::uint8_t* record = row.record == nullptr ? nullptr : row.record + column * stride + c;
  if (problem.pool) {
    auto best = z[0];
    auto winner = hn::Zero(ints);
    LOCKSTEP_UNROLL
    for (int k = kEqual ? 3 : 1; k < 4; ++k) {
      // A NaN wins whatever it meets, and nothing wins against it but another.
      const auto wins = hn::Or(hn::Gt(z[k], best), hn::IsNaN(z[k]));
      best = hn::IfThenElse(wins, z[k], best);
      winner = hn::IfThenElse(hn::RebindMask(ints, wins), hn::Set(ints, k), winner);
    }
    if (problem.relu) {
      const auto dead = hn::Le(best, zero);
      best = hn::IfThenZeroElse(dead, best);
      winner = hn::IfThenElse(hn::RebindMask(ints, dead), hn::Set(ints, 4), winner);
    }
    store(d, best, row.y + column * problem.out_channels + c, count);
    if (record != nullptr) store_record(d, winner, record);
    return;
  }
  auto alive = hn::Zero(ints);
  LOCKSTEP_UNROLL
  for (int k = 0; k < 4; ++k) {
    if (problem.relu) {
      const auto dead = hn::Le(z[k], zero);
      z[k] = hn::IfThenZeroElse(dead, z[k]);
      alive = hn::Or(alive, hn::IfThenZeroElse(hn::RebindMask(ints, dead), hn::Set(ints, 1 << k)));
    }
    if (k / 2 < row.height && 2 * column + k % 2 < problem.out_width)
      store(d, z[k], row.y + (k / 2 * problem.out_width + 2 * column + k % 2) * problem.out_channels + c,
            count);
  }
  if (record != nullptr) store_record(d, alive, record);
}

/// The gradients of a window's four outputs before pool and ReLU.
template <class D>
HWY_INLINE void start_window(D d, const Problem& problem,
                             const WindowRow<const float, const std::uint8_t>& row, std::int64_t column,
                             std::int64_t c, std::int64_t count, std::int64_t stride,
                             Vector<D>* HWY_RESTRICT z) {
  const hn::RebindToSigned<D> ints;
  auto record = hn::Zero(ints);
  if (row.record != nullptr) record = load_record(d, row.record + column * stride + c);
  if (problem.pool) {
    const auto gradient = load(d, row.y + column * problem.out_channels + c, count);
    LOCKSTEP_UNROLL
    for (int k = 0; k < 4; ++k)
      z[k] = hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(record, hn::Set(ints, k))), gradient);
    return;
  }
  LOCKSTEP_UNROLL
  for (int k = 0; k < 4; ++k) {
    z[k] = hn::Zero(d);
    if (k / 2 >= row.height || 2 * column + k % 2 >= problem.out_width) continue;
    z[k] =
        load(d, row.y + (k / 2 * problem.out_width + 2 * column + k % 2) * problem.out_channels + c, count);
    if (problem.relu)
      z[k] = hn::IfThenElseZero(hn::RebindMask(d, hn::TestBit(record, hn::Set(ints, 1 << k))), z[k]);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
