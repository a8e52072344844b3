// The weight gradient of a direct convolution behind a max-pool: each window hands its gradient to one of
// four outputs, so three in four products are with zero. They are left out. Channels are in lanes, and each
// may have another winner: the four numbers that a tap meets in a window's outputs lie side by side as a
// quad, from which a shuffle picks each channel's.
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

#include <bit>

#include "device/cpu/fused/direct_planes-inl.h"
#include "device/cpu/fused/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
struct Winners {
  static constexpr int taps = kKernel * kKernel;
  /// Taps whose sums lie in registers together, beside a gradient, a choice and a product's factor.
  static constexpr int taps_at_once = registers == 32 || taps <= 13 ? taps : (taps + 1) / 2;
  /// Quads past the end that are written, from what lies behind the planes.
  static constexpr std::int64_t overhang = DirectPlanes::overhang;

  /// Those of some window rows of one plane. The quad at row r and column c holds the numbers at (r, c),
  /// (r, c + 1), (r + 1, c) and (r + 1, c + 1).
  struct Quads {
    float* data;
    std::int64_t width;  ///< of a row
  };
  static std::int64_t quads_of_a_row(const DirectPlanes& planes) { return planes.width - 1; }
  static std::int64_t quad_rows(std::int64_t window_rows) { return 2 * window_rows + kKernel - 2; }
  static std::int64_t quads_floats(const DirectPlanes& planes, std::int64_t window_rows) {
    return round_up(4 * (quad_rows(window_rows) * quads_of_a_row(planes) + overhang), 16);
  }

  /// Of the window rows from `first` on.
  static void make_quads(const DirectPlanes& planes, std::int64_t in, std::int64_t first,
                         std::int64_t window_rows, const Quads& quads) {
    const std::int64_t below = planes.width;
    const std::int64_t width = quads.width;
    const float* HWY_RESTRICT upper = planes.data + in * planes.floats_of_one() + 2 * first * below;
    float* HWY_RESTRICT to = quads.data;
    for (std::int64_t row = 0; row < quad_rows(window_rows); ++row, upper += below, to += 4 * width) {
      const float* HWY_RESTRICT lower = upper + below;
      for (std::int64_t c = 0; c < width; c += lanes)
        hn::StoreInterleaved4(hn::LoadU(Full(), upper + c), hn::LoadU(Full(), upper + c + 1),
                              hn::LoadU(Full(), lower + c), hn::LoadU(Full(), lower + c + 1), Full(),
                              to + 4 * c);
    }
  }

  template <class D>
  using Choice = hn::Vec<hn::RebindToSigned<D>>;
  /// Whether a block of the vector has room for a quad, so that a shuffle can pick from it.
  template <class D>
  static constexpr bool shuffles = hn::MaxLanes(D()) >= 4;

  /// What pick() must know of a channel's winner: where it shuffles, the bytes of that number in a quad.
  template <class D>
  static HWY_INLINE Choice<D> choice_of(D /*d*/, Choice<D> winner) {
    const hn::RebindToSigned<D> ints;
    const auto number = hn::And(winner, hn::Set(ints, 3));  // of a dead window any will do
    if constexpr (shuffles<D>) {
      static_assert(std::endian::native == std::endian::little, "byte 0 of a number is its least");
      const auto byte = hn::ShiftLeft<2>(number);
      const auto bytes = hn::Or(byte, hn::ShiftLeft<8>(byte));
      return hn::Add(hn::Or(bytes, hn::ShiftLeft<16>(bytes)), hn::Set(ints, 0x03020100));
    } else {
      return number;
    }
  }
  /// For each channel the number of its winner.
  template <class D>
  static HWY_INLINE Vector<D> pick(D d, const float* HWY_RESTRICT quad, Choice<D> choice) {
    if constexpr (shuffles<D>) {
      const hn::Repartition<std::uint8_t, D> bytes;
      const auto numbers = hn::BitCast(bytes, hn::LoadDup128(d, quad));
      return hn::BitCast(d, hn::TableLookupBytes(numbers, hn::BitCast(bytes, choice)));
    } else {
      constexpr std::int64_t n = hn::MaxLanes(D());
      HWY_ALIGN std::int32_t choices[n];
      HWY_ALIGN float numbers[n];
      hn::Store(choice, hn::RebindToSigned<D>(), choices);
      for (std::int64_t i = 0; i < n; ++i) numbers[i] = quad[choices[i]];
      return hn::Load(d, numbers);
    }
  }

  /// Whether all that a window's outputs see is zero.
  static bool sees_zeros(const DirectPlanes& planes, std::int64_t window_row, std::int64_t window) {
    const float* line = planes.data + 2 * window_row * planes.width + 2 * window;
    for (std::int64_t in = 0; in < planes.count; ++in, line += planes.floats_of_one())
      for (std::int64_t i = 0; i <= kKernel; ++i)
        if (!are_zero<kKernel + 1>(line + i * planes.width)) return false;
    return true;
  }

  /// The windows of a strip that count: for each its gradients, 0 where no output is alive, and choices by
  /// channel, and its place: which of the quads its first tap meets.
  struct Found {
    std::int64_t windows = 0;
    std::int64_t stride = 0;  ///< from window to window
    float* gradients = nullptr;
    std::int32_t* choices = nullptr;
    std::int32_t* places = nullptr;
  };

  /// Appends those of a row of windows, which is row `strip_row` of the strip. Leaves out windows that see
  /// zeros only, if their gradients are finite. Adds to the bias's gradient.
  static void find(const Problem& problem, const DirectPlanes& planes, std::int64_t window_row,
                   std::int64_t strip_row, const WindowRow<const float, const std::uint8_t>& row,
                   float* dbias, Found& found) {
    const std::int64_t stride = found.stride;
    for (std::int64_t window = 0; window < problem.window_columns(); ++window) {
      bool adds = !sees_zeros(planes, window_row, window);
      float* const gradients = found.gradients + found.windows * stride;
      std::int32_t* const choices = found.choices + found.windows * stride;
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, auto count) {
        const hn::RebindToSigned<decltype(d)> ints;
        const auto zero = hn::Zero(d);
        const auto winner = load_record(d, row.record + window * stride + c);
        const auto dead = hn::RebindMask(d, hn::Eq(winner, hn::Set(ints, 4)));
        const auto gradient =
            hn::IfThenZeroElse(dead, load(d, row.y + window * problem.out_channels + c, count));
        hn::StoreU(gradient, d, gradients + c);
        hn::StoreU(choice_of(d, winner), ints, choices + c);
        adds = adds || !hn::AllTrue(d, hn::Eq(hn::Mul(gradient, zero), zero));
        if (dbias != nullptr) store(d, hn::Add(load(d, dbias + c, count), gradient), dbias + c, count);
      });
      if (!adds) continue;
      found.places[found.windows++] =
          static_cast<std::int32_t>(2 * (strip_row * quads_of_a_row(planes) + window));
    }
  }

  /// Adds the products of taps [kFirst, kFirst + kCount) to their sums, for the channels of a vector.
  template <int kFirst, int kCount, class D>
  static HWY_NOINLINE void add_taps(D d, const Found& found, std::int64_t channel, const Quads& quads,
                                    float* sums) {
    const hn::RebindToSigned<D> ints;
    const std::int64_t stride = found.stride;
    const std::int64_t below = 4 * quads.width;
    Vector<D> sum[kCount];
    LOCKSTEP_UNROLL
    for (int t = 0; t < kCount; ++t) sum[t] = hn::LoadU(d, sums + (kFirst + t) * stride);
    const float* gradients = found.gradients + channel;
    const std::int32_t* choices = found.choices + channel;
    const float* const first_line = quads.data + kFirst / kKernel * below;
    for (std::int64_t window = 0; window < found.windows; ++window, gradients += stride, choices += stride) {
      const auto gradient = hn::LoadU(d, gradients);
      const auto choice = hn::LoadU(ints, choices);
      const float* line = first_line + 4 * std::int64_t{found.places[window]};
      LOCKSTEP_UNROLL
      for (int t = 0; t < kCount; ++t) {
        const std::int64_t column = (kFirst + t) % kKernel;
        sum[t] = fma(d, gradient, pick(d, line + 4 * column, choice), sum[t]);
        if (column == kKernel - 1) line += below;
      }
    }
    LOCKSTEP_UNROLL
    for (int t = 0; t < kCount; ++t) hn::StoreU(sum[t], d, sums + (kFirst + t) * stride);
  }

  /// Adds the windows' products with the plane that these quads were made of to its sums, [tap][channel].
  static void add(const Found& found, const Quads& quads, float* sums) {
    for_each_vector(found.stride, [&](auto d, std::int64_t c, std::int64_t /*count*/) {
      add_taps<0, taps_at_once>(d, found, c, quads, sums + c);
      if constexpr (taps_at_once < taps)
        add_taps<taps_at_once, taps - taps_at_once>(d, found, c, quads, sums + c);
    });
  }

  /// Adds zero times all that the taps meet.
  static void add_zeros(const Problem& problem, const DirectPlanes& planes, std::int64_t stride,
                        float* sums) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in)
      for (int i = 0; i < kKernel; ++i)
        for (int j = 0; j < kKernel; ++j, sums += stride) {
          float sum = 0;
          for (std::int64_t row = 0; row < 2 * problem.window_rows(); ++row)
            for (std::int64_t column = 0; column < 2 * problem.window_columns(); ++column)
              sum += 0 * planes.data[in * planes.floats_of_one() + (row + i) * planes.width + column + j];
          for (std::int64_t c = 0; c < problem.out_channels; ++c) sums[c] += sum;
        }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
