// The direct forward pass: a window or two of 2×2 outputs lie in registers, for a few vectors of output
// channels; each tap is one load of its weights and one broadcast input per output. Bias, ReLU and pool
// happen in these registers.
//
// What meets zeros only is left out (tap_map-inl.h): rows of taps; or, behind a pool, single taps, where at
// least half of a sample is background and few registers mean that few windows go at a time.
#if defined(LOCKSTEP_FUSED_DIRECT_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DIRECT_FORWARD_INL_H_
#undef LOCKSTEP_FUSED_DIRECT_FORWARD_INL_H_
#else
#define LOCKSTEP_FUSED_DIRECT_FORWARD_INL_H_
#endif

#include <array>
#include <bit>

#include "device/cpu/fused/direct_planes-inl.h"
#include "device/cpu/fused/product-inl.h"
#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/tap_map-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
class DirectForward {
 public:
  static std::int64_t workspace_floats(const Problem& problem) { return scratch_floats<Workspace>(problem); }

  /// Reads packed weights, [in][tap][out], `out_stride` apart; `finite`: whether they are.
  static void run(const Problem& problem, std::int64_t out_stride, bool finite, const Forward& pass) {
    Scratch scratch(pass.workspace);
    const auto [planes, map, staging] = Workspace(problem, scratch);
    const std::int64_t sample = problem.in_channels * problem.in_height * problem.in_width;
    const Places places(planes.width, out_stride);
    if (!finite) map.fill_with_ones();
    bool by_tap = false;
    for (std::int64_t index = 0; index < problem.all_window_rows(); ++index) {
      const RowPlace place(problem, index);
      if (place.window_row == 0) {
        planes.copy_in(problem, pass.x + place.sample * sample);
        if (finite) by_tap = 2 * map.fill(planes) <= sample && looks_at_taps && problem.pool;
      }
      const Row row{.problem = problem,
                    .planes = planes,
                    .map = map,
                    .places = &places,
                    .first_row = 2 * place.window_row,
                    .weights = pass.packed,
                    .bias = pass.bias,
                    .stride = out_stride,
                    .to = destination(problem, index, out_stride, pass, staging)};
      if (by_tap)
        convolve<Mode{.by_tap = looks_at_taps, .pool = true}>(row);
      else if (problem.pool)
        convolve<Mode{.by_tap = false, .pool = true}>(row);
      else
        convolve<Mode{.by_tap = false, .pool = false}>(row);
      unstage(problem, index, staging, pass.y);
    }
  }

 private:
  static constexpr int taps = kKernel * kKernel;
  /// With 32 registers two windows of 24 channels go at a time, and share too few zeros.
  static constexpr bool looks_at_taps = registers == 16;
  /// What the compiler should know: whether taps are left out one by one, else in rows, and
  /// Problem::pool.
  struct Mode {
    bool by_tap, pool;
  };

  struct Workspace {
    DirectPlanes planes;
    TapMap map;
    float* staging;
    Workspace(const Problem& problem, Scratch& scratch)
        : planes(problem, scratch), map(planes, scratch), staging(scratch.take<float>(staging_of(problem))) {}
  };

  /// How far each tap's numbers are from those of the first one, and its weights.
  struct Places {
    std::array<std::int64_t, taps> x, weights;
    Places(std::int64_t width, std::int64_t out_stride) {
      for (std::size_t tap = 0; tap < taps; ++tap) {
        const auto number = static_cast<std::int64_t>(tap);
        x[tap] = number / kKernel * width + number % kKernel;
        weights[tap] = number * out_stride;
      }
    }
  };

  /// A row of windows: what it is computed from, and where it goes.
  struct Row {
    Problem problem;
    DirectPlanes planes;
    TapMap map;
    const Places* places;
    std::int64_t first_row;  ///< of a plane, that its windows see
    const float *weights, *bias;
    std::int64_t stride;  ///< of output channels
    WindowRow<float, std::uint8_t> to;
  };

  template <Mode kMode>
  static void convolve(const Row& row) {
    for_each_panel(row.stride, [&](std::int64_t channel, int width, bool half) {
      if (half) {
        if (width == 1) convolve_panel<0, true, kMode>(row, channel);
        if (width == 2) convolve_panel<1, true, kMode>(row, channel);
        if (width == 3) convolve_panel<2, true, kMode>(row, channel);
      } else {
        if (width == 1) convolve_panel<1, false, kMode>(row, channel);
        if (width == 2) convolve_panel<2, false, kMode>(row, channel);
        if (width == 3) convolve_panel<3, false, kMode>(row, channel);
      }
    });
  }

  /// For a block of output channels, from `channel` on. The row comes by value: nobody else has its address,
  /// so no store makes the compiler read it again.
  template <int kVectors, bool kHalf, Mode kMode>
  static HWY_NOINLINE void convolve_panel(Row row, std::int64_t channel) {
    row.problem.pool = kMode.pool;  // a constant, for the compiler
    constexpr int together = rows_of(kVectors + (kHalf ? 1 : 0)) / 4;
    const std::int64_t windows = row.problem.window_columns();
    std::int64_t window = 0;
    for (; window + together <= windows; window += together)
      convolve_windows<together, kVectors, kHalf, kMode>(row, window, channel);
    for (; window < windows; ++window) convolve_windows<1, kVectors, kHalf, kMode>(row, window, channel);
  }

  /// kWindows of them, from window `first` on.
  template <int kWindows, int kVectors, bool kHalf, Mode kMode>
  static HWY_INLINE void convolve_windows(const Row& row, std::int64_t first, std::int64_t channel) {
    Accumulators<4 * kWindows, kVectors, kHalf> block;
    block.clear();
    const float* x = row.planes.data + row.first_row * row.planes.width + 2 * first;
    const std::uint64_t* bits = row.map.row(row.first_row);
    const float* weights = row.weights + channel;
    bool meets_any = false;
    for (std::int64_t in = 0; in < row.planes.count; ++in) {
      if constexpr (kMode.by_tap)
        meets_any |= add_taps_that_count<kWindows>(row, bits, 2 * first, x, weights, block);
      else
        meets_any |= add_rows_that_count<kWindows>(row, bits, 2 * first, x, weights, block);
      x += row.planes.floats_of_one();
      bits += row.planes.height * row.map.stride();
      weights += taps * row.stride;
    }
    if (meets_any)
      finish<kWindows, false>(row, first, channel, block);
    else
      finish<kWindows, true>(row, first, channel, block);
  }

  /// Columns of taps that kWindows windows have in all.
  template <int kWindows>
  static constexpr int columns_of = kKernel + 2 * (kWindows - 1);

  /// Adds kWindows windows' products with one plane, but for taps that meet zeros only in all of them.
  /// `bits`: the map's first row that they see; `x` and `weights`: of their first tap. Returns whether there
  /// are any.
  template <int kWindows, class Block>
  static HWY_INLINE bool add_taps_that_count(const Row& row, const std::uint64_t* bits, std::int64_t column,
                                             const float* x, const float* weights, Block& block) {
    constexpr std::uint32_t a_row = (1U << kKernel) - 1;
    std::uint32_t all = 0;
    LOCKSTEP_UNROLL
    for (int i = 0; i < kKernel; ++i, bits += row.map.stride()) {
      const std::uint32_t columns = TapMap::bits<columns_of<kWindows>>(bits, column);
      std::uint32_t of_row = columns;
      LOCKSTEP_UNROLL
      for (int n = 1; n < kWindows; ++n) of_row |= columns >> static_cast<unsigned>(2 * n);
      all |= (of_row & a_row) << static_cast<unsigned>(i * kKernel);
    }
    for (std::uint32_t left = all; left != 0; left &= left - 1) {
      const auto tap = static_cast<std::size_t>(std::countr_zero(left));
      add_tap(x + row.places->x[tap], row.planes.width, weights + row.places->weights[tap], block);
    }
    return all != 0;
  }

  /// The same for whole rows of taps.
  template <int kWindows, class Block>
  static HWY_INLINE bool add_rows_that_count(const Row& row, const std::uint64_t* bits, std::int64_t column,
                                             const float* x, const float* weights, Block& block) {
    bool any = false;
    for (int i = 0; i < kKernel; ++i) {
      if (TapMap::bits<columns_of<kWindows>>(bits, column) != 0) {
        any = true;
        LOCKSTEP_UNROLL
        for (int j = 0; j < kKernel; ++j) add_tap(x + j, row.planes.width, weights + j * row.stride, block);
      }
      bits += row.map.stride();
      x += row.planes.width;
      weights += kKernel * row.stride;
    }
    return any;
  }

  /// Adds what a tap meets from `upper` on.
  template <class Block>
  static HWY_INLINE void add_tap(const float* upper, std::int64_t width, const float* weights, Block& block) {
    const float* const lower = upper + width;
    block.add(
        [&](int r) {
          // With a name, as GCC 12 takes the wrong one from (a ? b : c)[i] where it checks for undefined
          // behaviour.
          const float* const line = r % 4 < 2 ? upper : lower;
          return line[r / 4 * 2 + r % 2];
        },
        weights);
  }

  /// The end of the windows. `kZero`: their sums are zero.
  template <int kWindows, bool kZero, int kVectors, bool kHalf>
  static HWY_INLINE void finish(const Row& row, std::int64_t first, std::int64_t channel,
                                const Accumulators<4 * kWindows, kVectors, kHalf>& block) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < kWindows; ++n) {
      LOCKSTEP_UNROLL
      for (int v = 0; v < kVectors; ++v)
        finish_one<kZero>(Full(), row, first + n, channel + v * lanes,
                          [&](int k) { return block.full[4 * n + k][v]; });
      if constexpr (kHalf)
        finish_one<kZero>(Half(), row, first + n, channel + kVectors * lanes,
                          [&](int k) { return block.half[4 * n + k]; });
    }
  }

  /// For a vector of channels from c on: `sum(k)` is output k without the bias.
  template <bool kZero, class D, class Sum>
  static HWY_INLINE void finish_one(D d, const Row& row, std::int64_t window, std::int64_t c,
                                    const Sum& sum) {
    const std::int64_t count = row.problem.out_channels - c;
    // At least +0: whether a sum that underflowed to -0 meets the zeros of a row depends on the blocks.
    const auto bias = row.bias == nullptr ? hn::Zero(d) : hn::Add(load(d, row.bias + c, count), hn::Zero(d));
    Vector<D> z[4];
    LOCKSTEP_UNROLL
    for (int k = 0; k < 4; ++k) z[k] = kZero ? bias : hn::Add(sum(k), bias);
    finish_window<kZero>(d, row.problem, row.to, window, c, count, row.stride, z);
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
