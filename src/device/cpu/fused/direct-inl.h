// The block for few input channels, by the definition of a convolution: a Winograd transform would cost more
// than it saves there, having too few products per transformed number.
//
// Forward: a window or two of 2×2 outputs lie in registers, for a few vectors of output channels; each tap is
// one load of its weights and one broadcast input per output. What meets zeros only, in the background of an
// image, is left out unless some weight is not finite: rows of taps, or single ones where most of an image is
// background and one window goes at a time. Bias, ReLU and pool happen in these registers.
// Weight gradient: a row of taps lies in registers, and each output of a row of windows is one load of its
// gradients and one broadcast input per tap; behind a pool, winners-inl.h does better.
//
// Inputs come from a copy of the sample in planes with the padding around them, small enough for L1 or L2.
#if defined(LOCKSTEP_FUSED_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DIRECT_INL_H_
#undef LOCKSTEP_FUSED_DIRECT_INL_H_
#else
#define LOCKSTEP_FUSED_DIRECT_INL_H_
#endif

#include <algorithm>
#include <bit>

#include "device/cpu/fused/filters-inl.h"
#include "device/cpu/fused/product-inl.h"
#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/sparse-inl.h"
#include "device/cpu/fused/winners-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
struct Direct {
  static constexpr int taps = kKernel * kKernel;
  template <int kValue>
  static constexpr std::integral_constant<int, kValue> integer = {};

  /// Extents of the padded planes: all that the windows read.
  static std::int64_t plane_height(const Problem& problem) { return 2 * problem.window_rows() + kKernel - 1; }
  static std::int64_t plane_width(const Problem& problem) {
    return 2 * problem.window_columns() + kKernel - 1;
  }
  static std::int64_t planes_floats(const Problem& problem) {
    return problem.in_channels * plane_height(problem) * plane_width(problem);
  }
  /// With what is read behind them to make quads.
  static std::int64_t planes_memory(const Problem& problem) {
    return round_up(planes_floats(problem) + Winners<kKernel>::overhang, 16);
  }
  /// Gradients of a row of windows' two rows of outputs; behind a pool, those of a strip's winners.
  static std::int64_t gradients_floats(const Problem& problem, const Layout& layout) {
    return round_up((problem.pool ? layout.strip_rows : 4) * problem.window_columns() * layout.out_stride,
                    16);
  }
  /// Of all filters. Packed, they have a flag behind them: 1 if they are finite, else 0.
  static std::int64_t filter_floats(const Problem& problem, const Layout& layout) {
    return std::int64_t{kKernel} * kKernel * problem.in_channels * layout.out_stride;
  }
  static std::int64_t sums_floats(const Problem& problem, const Layout& layout) {
    return round_up(filter_floats(problem, layout), 16);
  }
  /// Behind a pool: the quads of a strip, and which of them its windows meet first.
  static std::int64_t quads_floats(const Problem& problem, const Layout& layout) {
    return problem.pool ? Winners<kKernel>::quads_floats(planes_of(problem, nullptr), layout.strip_rows) : 0;
  }
  static std::int64_t places_ints(const Problem& problem, const Layout& layout) {
    return problem.pool ? round_up(layout.strip_rows * problem.window_columns(), 16) : 0;
  }
  static Planes planes_of(const Problem& problem, const float* data) {
    return {data, plane_height(problem), plane_width(problem)};
  }

  static Layout layout(const Problem& problem, bool /*data_gradient*/) {
    Layout layout;
    layout.in_stride = problem.in_channels;
    layout.out_stride = round_up(problem.out_channels, half_lanes);
    layout.packed = filter_floats(problem, layout) + 1;
    constexpr std::int64_t strip_floats = 2048;  // so that gradients, choices and quads stay in L1
    layout.strip_rows = strip_floats / (problem.window_columns() * layout.out_stride);
    layout.strip_rows = std::max<std::int64_t>(std::min(layout.strip_rows, problem.window_rows()), 1);
    layout.forward_workspace = planes_memory(problem) + staging_of(problem);
    layout.backward_workspace = layout.forward_workspace + 2 * gradients_floats(problem, layout) +
                                sums_floats(problem, layout) + quads_floats(problem, layout) +
                                places_ints(problem, layout);
    layout.record = problem.all_window_rows() * problem.window_columns() * layout.out_stride;
    return layout;
  }

  /// Of the backward pass.
  struct Workspace {
    float *planes, *staging, *gradients, *sums, *quads;
    std::int32_t *choices, *places;
    Workspace(const Problem& problem, const Layout& layout, float* memory)
        : planes(memory),
          staging(planes + planes_memory(problem)),
          gradients(staging + staging_of(problem)),
          sums(gradients + gradients_floats(problem, layout)),
          quads(sums + sums_floats(problem, layout)),
          choices(reinterpret_cast<std::int32_t*>(quads + quads_floats(problem, layout))),
          places(choices + gradients_floats(problem, layout)) {}
  };

  /// Weights as [in][tap][out].
  static void pack(const Problem& problem, const Layout& layout, std::int64_t /*piece*/, const float* weights,
                   float* packed) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> g[taps];
        load_filters<taps>(d, weights + (c * problem.in_channels + in) * taps, problem.in_channels * taps,
                           count, g);
        for (int t = 0; t < taps; ++t) hn::StoreU(g[t], d, packed + (in * taps + t) * layout.out_stride + c);
      });
    }
    packed[filter_floats(problem, layout)] =
        all_finite(weights, problem.in_channels * problem.out_channels * taps) ? 1 : 0;
  }

  static void unpack(const Problem& problem, const Layout& layout, const float* packed, float* dweight) {
    for (std::int64_t in = 0; in < problem.in_channels; ++in) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> g[taps];
        for (int t = 0; t < taps; ++t) g[t] = hn::LoadU(d, packed + (in * taps + t) * layout.out_stride + c);
        store_filters<taps>(d, g, problem.in_channels * taps, count,
                            dweight + (c * problem.in_channels + in) * taps);
      });
    }
  }

  /// The sample's channels as planes with zeros around them.
  static void copy_planes(const Problem& problem, const float* x, float* planes) {
    clear(planes + planes_floats(problem), Winners<kKernel>::overhang);
    const std::int64_t height = plane_height(problem);
    const std::int64_t width = plane_width(problem);
    const std::int64_t channels = problem.in_channels;
    // From one column of the sample to the next, and from one channel to the next.
    const std::int64_t step = problem.plain_src ? 1 : channels;
    const std::int64_t next = problem.plain_src ? problem.in_height * problem.in_width : 1;
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t row = 0; row < height; ++row) {
        const std::int64_t r = row - problem.pad_top;
        float* to = planes + (c * height + row) * width;
        const float* from = x + r * problem.in_width * step + c * next;
        if (r < 0 || r >= problem.in_height) {
          for (std::int64_t j = 0; j < width; ++j) to[j] = 0;
          continue;
        }
        // Columns [begin, end) of the plane are within the sample.
        const std::int64_t begin = problem.pad_left < width ? problem.pad_left : width;
        std::int64_t end = problem.pad_left + problem.in_width;
        if (end > width) end = width;
        for (std::int64_t j = 0; j < begin; ++j) to[j] = 0;
        if (step == 1)
          std::memcpy(to + begin, from, static_cast<std::size_t>(end - begin) * sizeof(float));
        else
          for (std::int64_t j = begin; j < end; ++j) to[j] = from[(j - begin) * step];
        for (std::int64_t j = end; j < width; ++j) to[j] = 0;
      }
    }
  }

  /// Whether taps are looked at one by one, in a sample whose weights are finite: if at least half of it is
  /// zero. With 32 registers more than one window goes at a time, and these share too few zeros.
  static bool pays_by_tap(const float* x, std::int64_t floats) {
    if constexpr (registers == 32) return false;
    std::int64_t not_zero = 0;
    for (std::int64_t first = 0; first < floats; first += 64)
      not_zero += std::popcount(nonzero_mask(x + first, std::min<std::int64_t>(floats - first, 64)));
    return 2 * not_zero <= floats;
  }

  /// One bit for each tap, row by row: whether it meets a number that is not zero in any output of kWindows
  /// windows. `x`: what their first tap meets.
  template <int kWindows>
  static HWY_INLINE std::uint32_t taps_that_count(const float* x, std::int64_t width) {
    constexpr std::uint32_t a_row = (1U << kKernel) - 1;
    const auto of_row = [&](int row) {
      const auto numbers =
          static_cast<std::uint32_t>(nonzero_mask<kKernel + 2 * kWindows - 1>(x + row * width));
      std::uint32_t bits = numbers;
      LOCKSTEP_UNROLL
      for (int column = 1; column < 2 * kWindows; ++column) bits |= numbers >> static_cast<unsigned>(column);
      return bits & a_row;
    };
    std::uint32_t bits = 0;
    std::uint32_t upper = of_row(0);
    LOCKSTEP_UNROLL
    for (int i = 0; i < kKernel; ++i) {
      const std::uint32_t lower = of_row(i + 1);
      bits |= (upper | lower) << static_cast<unsigned>(i * kKernel);
      upper = lower;
    }
    return bits;
  }

  /// The end of a window's outputs for a vector of channels from c on: z without the bias.
  template <bool kEqual, class D>
  HWY_INLINE static void finish(D d, const Problem& problem, const Forward& pass, std::int64_t stride,
                                const WindowRow<float, std::uint8_t>& row, std::int64_t window,
                                std::int64_t c, Vector<D>* HWY_RESTRICT z) {
    const std::int64_t count = problem.out_channels - c;
    // At least +0: whether a sum that underflowed to -0 meets the zeros of a row depends on the blocks.
    const auto bias =
        pass.bias == nullptr ? hn::Zero(d) : hn::Add(load(d, pass.bias + c, count), hn::Zero(d));
    LOCKSTEP_UNROLL
    for (int k = 0; k < 4; ++k) z[k] = hn::Add(z[k], bias);
    finish_window<kEqual>(d, problem, row, window, c, count, stride, z);
  }

  /// A row of windows, for a block of output channels from `channel` on. `x` is the planes at the upper left
  /// of its patches. Arguments come by value: nobody else has their address, so no store makes the compiler
  /// read them again.
  template <int kVectors, bool kHalf, bool kByTap>
  static HWY_NOINLINE void convolve_row(Problem problem, std::int64_t stride, const float* x, Forward pass,
                                        bool finite, WindowRow<float, std::uint8_t> row,
                                        std::int64_t channel) {
    constexpr int together = rows_of(kVectors + (kHalf ? 1 : 0)) / 4;
    std::int64_t window = 0;
    for (; window + together <= problem.window_columns(); window += together)
      convolve_windows<together, kVectors, kHalf, kByTap>(problem, stride, x, pass, finite, row, window,
                                                          channel);
    for (; window < problem.window_columns(); ++window)
      convolve_windows<1, kVectors, kHalf, kByTap>(problem, stride, x, pass, finite, row, window, channel);
  }

  /// Adds what tap (row, column) meets. `x`: what the first one meets; b: its weights.
  template <class Block>
  static HWY_INLINE void add_tap(std::int64_t row, std::int64_t column, const float* x, std::int64_t width,
                                 const float* b, std::int64_t stride, Block& block) {
    const float* const upper = x + row * width + column;
    const float* const lower = upper + width;
    block.add(
        [&](int r) {
          // With a name, as GCC 12 takes the wrong one from (a ? b : c)[i] where it checks for undefined
          // behaviour.
          const float* const line = r % 4 < 2 ? upper : lower;
          return line[r / 4 * 2 + r % 2];
        },
        b + (row * kKernel + column) * stride);
  }

  /// Adds one plane, but for taps that meet zeros only. Returns whether there are others.
  template <int kWindows, class Block>
  static HWY_INLINE bool add_taps_that_count(const float* x, std::int64_t width, const float* b,
                                             std::int64_t stride, Block& block) {
    const std::uint32_t all = taps_that_count<kWindows>(x, width);
    for (std::uint32_t left = all; left != 0; left &= left - 1) {
      const auto tap = static_cast<unsigned>(std::countr_zero(left));
      add_tap(tap / kKernel, tap % kKernel, x, width, b, stride, block);
    }
    return all != 0;
  }

  /// The same, but for rows of taps, and these only if the weights are finite.
  template <int kWindows, class Block>
  static HWY_INLINE bool add_rows_that_count(const float* x, std::int64_t width, const float* b,
                                             std::int64_t stride, bool finite, Block& block) {
    constexpr int seen = kKernel - 1 + 2 * kWindows;
    bool any = false;
    for (std::int64_t row = 0; row < kKernel; ++row) {
      const float* const upper = x + row * width;
      if (finite && are_zero<seen>(upper) && are_zero<seen>(upper + width)) continue;
      any = true;
      LOCKSTEP_UNROLL
      for (int column = 0; column < kKernel; ++column) add_tap(row, column, x, width, b, stride, block);
    }
    return any;
  }

  /// kWindows of them, from window `first` on.
  template <int kWindows, int kVectors, bool kHalf, bool kByTap>
  static HWY_INLINE void convolve_windows(const Problem& problem, std::int64_t stride, const float* x,
                                          const Forward& pass, bool finite,
                                          const WindowRow<float, std::uint8_t>& row, std::int64_t first,
                                          std::int64_t channel) {
    Accumulators<4 * kWindows, kVectors, kHalf> block;
    block.clear();
    const std::int64_t width = plane_width(problem);
    const std::int64_t plane = plane_height(problem) * width;
    const float* b = pass.packed + channel;
    x += 2 * first;
    bool meets_any = false;
    for (std::int64_t in = 0; in < problem.in_channels; ++in, x += plane, b += taps * stride)
      meets_any |= kByTap ? add_taps_that_count<kWindows>(x, width, b, stride, block)
                          : add_rows_that_count<kWindows>(x, width, b, stride, finite, block);
    const auto finish_windows = [&](auto equal) {
      LOCKSTEP_UNROLL
      for (int window = 0; window < kWindows; ++window) {
        LOCKSTEP_UNROLL
        for (int v = 0; v < kVectors; ++v) {
          Vector<Full> z[4];
          LOCKSTEP_UNROLL
          for (int k = 0; k < 4; ++k) z[k] = equal ? hn::Zero(Full()) : block.full[4 * window + k][v];
          finish<equal>(Full(), problem, pass, stride, row, first + window, channel + v * lanes, z);
        }
        if constexpr (kHalf) {
          Vector<Half> z[4];
          LOCKSTEP_UNROLL
          for (int k = 0; k < 4; ++k) z[k] = equal ? hn::Zero(Half()) : block.half[4 * window + k];
          finish<equal>(Half(), problem, pass, stride, row, first + window, channel + kVectors * lanes, z);
        }
      }
    };
    if (!meets_any)
      finish_windows(std::true_type());
    else
      finish_windows(std::false_type());
  }

  static void forward(const Problem& problem, const Layout& layout, const Forward& pass) {
    float* const planes = pass.workspace;
    float* const staging = planes + planes_memory(problem);
    const std::int64_t stride = layout.out_stride;
    const bool finite = pass.packed[filter_floats(problem, layout)] != 0;
    const std::int64_t sample = problem.in_channels * problem.in_height * problem.in_width;
    bool sparse = false;
    for (std::int64_t index = 0; index < problem.all_window_rows(); ++index) {
      const RowPlace place(problem, index);
      if (place.window_row == 0) {
        copy_planes(problem, pass.x + place.sample * sample, planes);
        sparse = finite && pays_by_tap(pass.x + place.sample * sample, sample);
      }
      const float* x = planes + 2 * place.window_row * plane_width(problem);
      const auto row = destination(problem, index, layout.out_stride, pass, staging);
      const auto convolve = [&](auto by_tap) {
        for_each_panel(stride, [&](std::int64_t channel, int width, bool half) {
          const auto convolve_panel = [&](auto vectors, auto has_half) {
            convolve_row<vectors, has_half, by_tap>(problem, stride, x, pass, finite, row, channel);
          };
          if (half) {
            if (width == 1) convolve_panel(integer<0>, std::true_type());
            if (width == 2) convolve_panel(integer<1>, std::true_type());
            if (width == 3) convolve_panel(integer<2>, std::true_type());
          } else {
            if (width == 1) convolve_panel(integer<1>, std::false_type());
            if (width == 2) convolve_panel(integer<2>, std::false_type());
            if (width == 3) convolve_panel(integer<3>, std::false_type());
          }
        });
      };
      if (sparse)
        convolve(std::true_type());
      else
        convolve(std::false_type());
      unstage(problem, index, staging, pass.y);
    }
  }

  /// The gradients of a row of windows as two rows of outputs, each [column][channel]; adds to the bias's.
  static void spread_gradients(const Problem& problem, const Layout& layout,
                               const WindowRow<const float, const std::uint8_t>& row, float* gradients,
                               float* dbias) {
    const std::int64_t lower = 2 * problem.window_columns() * layout.out_stride;
    for (std::int64_t window = 0; window < problem.window_columns(); ++window) {
      float* cell = gradients + 2 * window * layout.out_stride;
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        Vector<decltype(d)> z[4];
        start_window(d, problem, row, window, c, count, layout.out_stride, z);
        hn::StoreU(z[0], d, cell + c);
        hn::StoreU(z[1], d, cell + layout.out_stride + c);
        hn::StoreU(z[2], d, cell + lower + c);
        hn::StoreU(z[3], d, cell + lower + layout.out_stride + c);
        if (dbias == nullptr) return;
        const auto sum = hn::Add(hn::Add(z[0], z[1]), hn::Add(z[2], z[3]));
        store(d, hn::Add(load(d, dbias + c, count), sum), dbias + c, count);
      });
    }
  }

  /// Adds a row of windows to the gradients of one row of taps, for a block of output channels.
  template <int kVectors, bool kHalf>
  static void add_taps(std::int64_t columns, std::int64_t stride, const float* x, std::int64_t width,
                       const float* gradients, float* dweight) {
    Accumulators<kKernel, kVectors, kHalf> block;
    block.load(dweight, stride);
    for (int r = 0; r < 2; ++r, x += width) {
      const float* a = x;
      for (std::int64_t k = 0; k < columns; ++k, ++a, gradients += stride)
        block.add([&](int tap) { return a[tap]; }, gradients);
    }
    block.store(dweight, stride);
  }

  static void backward_dense(const Problem& problem, const Layout& layout, const Backward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const std::int64_t sample = problem.in_channels * problem.in_height * problem.in_width;
    const std::int64_t width = plane_width(problem);
    const std::int64_t columns = 2 * problem.window_columns();
    const std::int64_t stride = layout.out_stride;
    clear(workspace.sums, filter_floats(problem, layout));
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    for (std::int64_t index = 0; index < problem.all_window_rows(); ++index) {
      const RowPlace place(problem, index);
      if (place.window_row == 0) copy_planes(problem, pass.x + place.sample * sample, workspace.planes);
      const auto row = source(problem, index, stride, pass, workspace.staging);
      spread_gradients(problem, layout, row, workspace.gradients, pass.dbias);
      for (std::int64_t in = 0; in < problem.in_channels; ++in) {
        for (int i = 0; i < kKernel; ++i) {
          const float* x = workspace.planes + (in * plane_height(problem) + 2 * place.window_row + i) * width;
          for_each_panel(stride, [&](std::int64_t channel, int vectors, bool half) {
            const float* g = workspace.gradients + channel;
            float* dw = workspace.sums + (in * kKernel + i) * kKernel * stride + channel;
            if (half) {
              if (vectors == 1) add_taps<0, true>(columns, stride, x, width, g, dw);
              if (vectors == 2) add_taps<1, true>(columns, stride, x, width, g, dw);
              if (vectors == 3) add_taps<2, true>(columns, stride, x, width, g, dw);
            } else {
              if (vectors == 1) add_taps<1, false>(columns, stride, x, width, g, dw);
              if (vectors == 2) add_taps<2, false>(columns, stride, x, width, g, dw);
              if (vectors == 3) add_taps<3, false>(columns, stride, x, width, g, dw);
            }
          });
        }
      }
    }
    unpack(problem, layout, workspace.sums, pass.dweight);
  }

  /// Strip by strip of one sample's window rows.
  static void backward_winners(const Problem& problem, const Layout& layout, const Backward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const Planes planes = planes_of(problem, workspace.planes);
    const typename Winners<kKernel>::Quads quads{workspace.quads, Winners<kKernel>::quads_of_a_row(planes)};
    const std::int64_t floats = problem.in_channels * problem.in_height * problem.in_width;
    clear(workspace.sums, filter_floats(problem, layout));
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    for (std::int64_t sample = 0; sample < problem.samples; ++sample) {
      copy_planes(problem, pass.x + sample * floats, workspace.planes);
      if (!all_finite(planes.data, problem.in_channels * planes.floats()))
        Winners<kKernel>::add_zeros(problem, planes, layout.out_stride, workspace.sums);
      for (std::int64_t begin = 0; begin < problem.window_rows(); begin += layout.strip_rows) {
        const std::int64_t left = problem.window_rows() - begin;
        const std::int64_t rows = left < layout.strip_rows ? left : layout.strip_rows;
        typename Winners<kKernel>::Found found{.stride = layout.out_stride,
                                               .gradients = workspace.gradients,
                                               .choices = workspace.choices,
                                               .places = workspace.places};
        for (std::int64_t row = 0; row < rows; ++row) {
          const std::int64_t index = sample * problem.window_rows() + begin + row;
          Winners<kKernel>::find(problem, planes, begin + row, row,
                                 source(problem, index, layout.out_stride, pass, workspace.staging),
                                 pass.dbias, found);
        }
        for (std::int64_t in = 0; in < problem.in_channels; ++in) {
          Winners<kKernel>::make_quads(planes, in, begin, rows, quads);
          Winners<kKernel>::add(found, quads, workspace.sums + in * kKernel * kKernel * layout.out_stride);
        }
      }
    }
    unpack(problem, layout, workspace.sums, pass.dweight);
  }

  static void backward(const Problem& problem, const Layout& layout, const Backward& pass) {
    if (problem.pool)
      backward_winners(problem, layout, pass);
    else
      backward_dense(problem, layout, pass);
  }

  static constexpr Method method() { return {layout, pack, forward, backward}; }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
