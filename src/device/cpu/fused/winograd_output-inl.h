// Winograd's transform of the products to outputs, z = Aᵀ m A, which ends in bias, ReLU and pool, and its
// transpose, which begins with their gradients.
#if defined(LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#endif

#include "device/cpu/fused/transform-inl.h"
#include "device/cpu/fused/winograd_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kTile, int kKernel>
struct WinogradOutput {
  using Tiles = WinogradTiles<kTile>;
  using DstRows = typename Tiles::template WindowRows<WindowRow<float, std::uint8_t>>;
  using SrcRows = typename Tiles::template WindowRows<WindowRow<const float, const std::uint8_t>>;
  static constexpr int n = CookToom<kTile, kKernel>::points;  // extent of a patch
  static constexpr auto& matrices = CookToom<kTile, kKernel>::matrices;

  /// One row of tiles from m to y.
  static void finish(const Problem& problem, const Layout& layout, const float* m, const float* bias,
                     const DstRows& rows) {
    for (std::int64_t tile = 0; tile < Tiles::columns(problem); ++tile, m += layout.out_stride) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, auto count) {
        using V = Vector<decltype(d)>;
        V half_done[kTile][n];
        const Points<n, const float> points{m + c, layout.out_point};
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) {
          V column[n];
          V out[kTile];
          points.load_column(d, j, column);
          from_points(d, matrices.output, column, out);
          LOCKSTEP_UNROLL
          for (int k = 0; k < kTile; ++k) half_done[k][j] = out[k];
        }
        const V b = bias != nullptr ? load(d, bias + c, count) : hn::Zero(d);
        V z[kTile][kTile];
        LOCKSTEP_UNROLL
        for (int k = 0; k < kTile; ++k) {
          from_points(d, matrices.output, half_done[k], z[k]);
          if (bias == nullptr) continue;
          LOCKSTEP_UNROLL
          for (V& output : z[k]) output = hn::Add(output, b);
        }
        Tiles::for_each_window(problem, rows, tile, [&](int i, int j, const auto& row, std::int64_t column) {
          V window[4] = {z[2 * i][2 * j], z[2 * i][2 * j + 1], z[2 * i + 1][2 * j], z[2 * i + 1][2 * j + 1]};
          finish_window(d, problem, row, column, c, count, layout.out_stride, window);
        });
      });
    }
  }

  /// One row of tiles from dy to dm; adds to the bias's gradient.
  static void start(const Problem& problem, const Layout& layout, const SrcRows& rows, float* dm,
                    float* dbias) {
    for (std::int64_t tile = 0; tile < Tiles::columns(problem); ++tile, dm += layout.out_stride) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, auto count) {
        using V = Vector<decltype(d)>;
        V z[kTile][kTile];
        LOCKSTEP_UNROLL
        for (auto& line : z) {
          LOCKSTEP_UNROLL
          for (V& output : line) output = hn::Zero(d);
        }
        Tiles::for_each_window(problem, rows, tile, [&](int i, int j, const auto& row, std::int64_t column) {
          V window[4];
          start_window(d, problem, row, column, c, count, layout.out_stride, window);
          if (dbias != nullptr) {
            const V sum = hn::Add(hn::Add(window[0], window[1]), hn::Add(window[2], window[3]));
            store(d, hn::Add(load(d, dbias + c, count), sum), dbias + c, count);
          }
          LOCKSTEP_UNROLL
          for (int k = 0; k < 4; ++k) z[2 * i + k / 2][2 * j + k % 2] = window[k];
        });
        V half_done[kTile][n];
        LOCKSTEP_UNROLL
        for (int k = 0; k < kTile; ++k) to_points(d, matrices.output, z[k], half_done[k]);
        const Points<n, float> points{dm + c, layout.out_point};
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) {
          V column[kTile];
          V out[n];
          LOCKSTEP_UNROLL
          for (int k = 0; k < kTile; ++k) column[k] = half_done[k][j];
          to_points(d, matrices.output, column, out);
          points.store_column(d, out, j);
        }
      });
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
