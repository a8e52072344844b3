// Winograd's transform of the filters, u = G g Gᵀ, and its transpose for their gradient.
#if defined(LOCKSTEP_FUSED_WINOGRAD_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_WEIGHTS_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_WEIGHTS_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_WEIGHTS_INL_H_
#endif

#include <algorithm>

#include "base/partition.h"
#include "device/cpu/fused/filters-inl.h"
#include "device/cpu/fused/problem.h"
#include "device/cpu/fused/transform-inl.h"
#include "device/cpu/fused/winograd_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kTile, int kKernel>
struct WinogradWeights {
  static constexpr int n = CookToom<kTile, kKernel>::points;  // extent of a patch
  static constexpr auto& matrices = CookToom<kTile, kKernel>::matrices;

  /// Floats from one point of u to the next, and of u transposed, where output channels are rows.
  static std::int64_t point(const Problem& problem, const Layout& layout) {
    return odd_lines(problem.in_channels * layout.out_stride);
  }
  static std::int64_t transposed_point(const Problem& problem, const Layout& layout) {
    return odd_lines(problem.out_channels * layout.in_stride);
  }
  static std::int64_t floats(const Problem& problem, const Layout& layout) {
    return std::int64_t{n} * n * point(problem, layout);
  }
  static std::int64_t transposed_floats(const Problem& problem, const Layout& layout) {
    return std::int64_t{n} * n * transposed_point(problem, layout);
  }

  /// Pieces that one order of u is packed in: each long enough to be worth a thread's while, and enough of
  /// them for the ranks of a host.
  static std::int64_t pieces(const Problem& problem, const Layout& layout) {
    constexpr std::int64_t piece_floats = std::int64_t{16} * 1024;
    const std::int64_t rows = std::min(problem.in_channels, problem.out_channels);
    return std::clamp<std::int64_t>(floats(problem, layout) / piece_floats, 1,
                                    std::min<std::int64_t>(rows, 16));
  }

  /// u[p][row][column], channels of one kind in rows and of the other in lanes. A row's filter is
  /// `row_stride` from the next, a column's `column_stride`; in u a row is `stride` from the next, and a
  /// point `point`.
  static void pack_rows(Range rows, std::int64_t columns, const float* weights, std::int64_t row_stride,
                        std::int64_t column_stride, std::int64_t stride, std::int64_t point, float* u) {
    constexpr int taps = kKernel * kKernel;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      for_each_vector(columns, [&](auto d, std::int64_t c, auto count) {
        using V = Vector<decltype(d)>;
        V g[taps];
        load_filters<taps>(d, weights + row * row_stride + c * column_stride, column_stride, count, g);
        const Points<n, float> points{u + row * stride + c, point};
        V half_done[kKernel][n];  // by column of the filter
        for (int j = 0; j < kKernel; ++j) {
          V column[kKernel];
          for (int i = 0; i < kKernel; ++i) column[i] = g[i * kKernel + j];
          to_points(d, matrices.filter, column, half_done[j]);
        }
        for (int i = 0; i < n; ++i) {
          V line[kKernel];
          V out[n];
          for (int j = 0; j < kKernel; ++j) line[j] = half_done[j][i];
          to_points(d, matrices.filter, line, out);
          points.store_row(d, out, i);
        }
      });
    }
  }

  /// From u what pack() makes of the weights for u transposed, the same bits: for who needs it so seldom that
  /// it should not be packed in each step.
  static void transpose(const Problem& problem, const Layout& layout, const float* u, float* transposed) {
    for (int p = 0; p < n * n; ++p) {
      for (std::int64_t in = 0; in < layout.in_stride; in += 4)
        transpose_rows(problem, layout, in, u, transposed);
      u += point(problem, layout);
      transposed += transposed_point(problem, layout);
    }
  }

  /// Four rows of a point of u, or what there is of them, with zeros behind the last.
  static void transpose_rows(const Problem& problem, const Layout& layout, std::int64_t in, const float* u,
                             float* transposed) {
    constexpr std::int64_t width = std::min<std::int64_t>(4, half_lanes);  // divides in_stride
    for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, auto count) {
      const auto row = [&](std::int64_t i) {
        return i < problem.in_channels ? hn::LoadU(d, u + i * layout.out_stride + c) : hn::Zero(d);
      };
      HWY_ALIGN float quadruples[4 * hn::MaxLanes(d)];
      hn::StoreInterleaved4(row(in), row(in + 1), row(in + 2), row(in + 3), d, quadruples);
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t j = 0; j < 4 && in + j < layout.in_stride; j += width)
          std::memcpy(transposed + (c + i) * layout.in_stride + in + j, quadruples + 4 * i + j,
                      width * sizeof(float));
    });
  }

  /// First the pieces of u, then those of u transposed.
  static void pack(const Problem& problem, const Layout& layout, std::int64_t piece, const float* weights,
                   float* packed) {
    constexpr std::int64_t taps = std::int64_t{kKernel} * kKernel;
    const std::int64_t out_filter = problem.in_channels * taps;
    const std::int64_t pieces = WinogradWeights::pieces(problem, layout);
    if (piece < pieces)
      pack_rows(lockstep::piece(problem.in_channels, pieces, piece), problem.out_channels, weights, taps,
                out_filter, layout.out_stride, point(problem, layout), packed);
    else
      pack_rows(lockstep::piece(problem.out_channels, pieces, piece - pieces), problem.in_channels, weights,
                out_filter, taps, layout.in_stride, transposed_point(problem, layout),
                packed + layout.transposed_filters);
  }

  /// The weights' gradient from du.
  static void unpack(const Problem& problem, const Layout& layout, const float* du, float* dweight) {
    constexpr int taps = kKernel * kKernel;
    const std::int64_t filter = problem.in_channels * taps;
    for (std::int64_t row = 0; row < problem.in_channels; ++row) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, auto count) {
        using V = Vector<decltype(d)>;
        const Points<n, const float> points{du + row * layout.out_stride + c, point(problem, layout)};
        V half_done[n][kKernel];
        for (int i = 0; i < n; ++i) {
          V line[n];
          points.load_row(d, i, line);
          from_points(d, matrices.filter, line, half_done[i]);
        }
        V g[taps];
        for (int j = 0; j < kKernel; ++j) {
          V column[n];
          V out[kKernel];
          for (int i = 0; i < n; ++i) column[i] = half_done[i][j];
          from_points(d, matrices.filter, column, out);
          for (int i = 0; i < kKernel; ++i) g[i * kKernel + j] = out[i];
        }
        store_filters<taps>(d, g, filter, count, dweight + c * filter + row * taps);
      });
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
