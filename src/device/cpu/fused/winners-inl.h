// The weight gradient of a direct convolution behind a max-pool: each window hands its gradient to one of
// four outputs, so three in four products are with zero. They are left out: for each channel in turn, a
// window's gradient is multiplied with the patch of the output that won, taps in lanes.
//
// Windows that see nothing but zeros, in the background of an image, are left out as well.
//
// A zero times infinity or NaN would be NaN: a sample that holds one adds these products all the same.
#if defined(LOCKSTEP_FUSED_WINNERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINNERS_INL_H_
#undef LOCKSTEP_FUSED_WINNERS_INL_H_
#else
#define LOCKSTEP_FUSED_WINNERS_INL_H_
#endif

#include "device/cpu/fused/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Planes of one sample; see Direct.
struct Planes {
  const float* data;
  std::int64_t height, width;
  [[nodiscard]] std::int64_t floats() const { return height * width; }
};

template <int kKernel>
struct Winners {
  /// A row of taps, in one vector or, where these are short, in some.
  using Taps = hn::CappedTag<float, kKernel == 5 ? 8 : 4>;
  static constexpr std::int64_t width = hn::MaxLanes(Taps());
  static constexpr std::int64_t parts = (kKernel + width - 1) / width;
  static constexpr std::int64_t filter = kKernel * parts * width;  ///< floats of a filter's sums
  /// Floats past the end of the planes that a row of taps may reach.
  static constexpr std::int64_t overhang = 16;

  static std::int64_t sums_floats(const Problem& problem) {
    return round_up(problem.in_channels * problem.out_channels * filter, 16);
  }

  /// Whether all that a window's outputs see is zero.
  static bool sees_zeros(const Problem& problem, const Planes& planes, std::int64_t window_row,
                         std::int64_t window) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in)
      for (std::int64_t i = 0; i <= kKernel; ++i)
        if (!are_zero<kKernel + 1>(planes.data + in * planes.floats() + (2 * window_row + i) * planes.width +
                                   2 * window))
          return false;
    return true;
  }

  /// For a row of windows: each window's gradient, 0 where no output is alive, and where the winner's patch
  /// begins in a plane. Leaves out windows that see zeros only, if their gradients are finite; returns
  /// the number of the others. Adds to the bias's gradient.
  static std::int64_t find(const Problem& problem, std::int64_t stride, std::int64_t window_row,
                           const Planes& planes, const WindowRow<const float, const std::uint8_t>& row,
                           float* gradients, std::int32_t* begins, float* dbias) {
    std::int64_t found = 0;
    for (std::int64_t window = 0; window < problem.window_columns(); ++window) {
      bool adds = !sees_zeros(problem, planes, window_row, window);
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        const hn::RebindToSigned<decltype(d)> ints;
        const auto zero = hn::Zero(d);
        const auto winner = load_record(d, row.record + window * stride + c);
        const auto dead = hn::RebindMask(d, hn::Eq(winner, hn::Set(ints, 4)));
        const auto gradient =
            hn::IfThenZeroElse(dead, load(d, row.y + window * problem.out_channels + c, count));
        const auto upper = static_cast<std::int32_t>(2 * (window_row * planes.width + window));
        const auto lower = hn::IfThenElseZero(hn::TestBit(winner, hn::Set(ints, 2)),
                                              hn::Set(ints, static_cast<std::int32_t>(planes.width)));
        const auto begin = hn::Add(hn::Add(hn::Set(ints, upper), lower), hn::And(winner, hn::Set(ints, 1)));
        hn::StoreU(gradient, d, gradients + found * stride + c);
        hn::StoreU(begin, ints, begins + found * stride + c);
        adds = adds || !hn::AllTrue(d, hn::Eq(hn::Mul(gradient, zero), zero));
        if (dbias != nullptr) store(d, hn::Add(load(d, dbias + c, count), gradient), dbias + c, count);
      });
      if (adds) ++found;
    }
    return found;
  }

  /// Adds the windows' products to the sums of kChannels channels.
  template <int kChannels>
  static void add_channels(std::int64_t windows, std::int64_t stride, const float* plane,
                           std::int64_t plane_width, const float* gradients, const std::int32_t* begins,
                           float* sums) {
    const Taps d;
    Vector<Taps> sum[kChannels][kKernel * parts];
    LOCKSTEP_UNROLL
    for (int c = 0; c < kChannels; ++c) {
      LOCKSTEP_UNROLL
      for (int i = 0; i < kKernel * parts; ++i) sum[c][i] = hn::LoadU(d, sums + c * filter + i * width);
    }
    for (std::int64_t window = 0; window < windows; ++window, gradients += stride, begins += stride) {
      LOCKSTEP_UNROLL
      for (int c = 0; c < kChannels; ++c) {
        const auto gradient = hn::Set(d, gradients[c]);
        const float* patch = plane + begins[c];
        LOCKSTEP_UNROLL
        for (int i = 0; i < kKernel; ++i) {
          LOCKSTEP_UNROLL
          for (int part = 0; part < parts; ++part)
            sum[c][i * parts + part] = fma(d, gradient, hn::LoadU(d, patch + i * plane_width + part * width),
                                           sum[c][i * parts + part]);
        }
      }
    }
    LOCKSTEP_UNROLL
    for (int c = 0; c < kChannels; ++c) {
      LOCKSTEP_UNROLL
      for (int i = 0; i < kKernel * parts; ++i) hn::StoreU(sum[c][i], d, sums + c * filter + i * width);
    }
  }

  static void add(const Problem& problem, std::int64_t windows, std::int64_t stride, const Planes& planes,
                  const float* gradients, const std::int32_t* begins, float* sums) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in) {
      const float* plane = planes.data + in * planes.floats();
      float* own = sums + in * problem.out_channels * filter;
      std::int64_t c = 0;
      for (; c + 2 <= problem.out_channels; c += 2)
        add_channels<2>(windows, stride, plane, planes.width, gradients + c, begins + c, own + c * filter);
      if (c < problem.out_channels)
        add_channels<1>(windows, stride, plane, planes.width, gradients + c, begins + c, own + c * filter);
    }
  }

  /// Adds zero times all that the taps meet.
  static void add_zeros(const Problem& problem, const Planes& planes, float* sums) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in)
      for (int i = 0; i < kKernel; ++i)
        for (int j = 0; j < kKernel; ++j) {
          float sum = 0;
          for (std::int64_t row = 0; row < 2 * problem.window_rows(); ++row)
            for (std::int64_t column = 0; column < 2 * problem.window_columns(); ++column)
              sum += 0 * planes.data[in * planes.floats() + (row + i) * planes.width + column + j];
          for (std::int64_t c = 0; c < problem.out_channels; ++c)
            sums[(in * problem.out_channels + c) * filter + i * parts * width + j] += sum;
        }
  }

  static void unpack(const Problem& problem, const float* sums, float* dweight) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in)
      for (std::int64_t c = 0; c < problem.out_channels; ++c)
        for (int i = 0; i < kKernel; ++i)
          for (int j = 0; j < kKernel; ++j)
            dweight[((c * problem.in_channels + in) * kKernel + i) * kKernel + j] =
                sums[(in * problem.out_channels + c) * filter + i * parts * width + j];
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
