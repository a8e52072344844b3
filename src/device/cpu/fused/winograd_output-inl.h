// Winograd's transform of the products to outputs, z = Aᵀ m A, which ends in bias, ReLU and pool, and its
// transpose, which begins with their gradients.
#if defined(LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_OUTPUT_INL_H_
#endif

#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
struct WinogradOutput {
  static constexpr int n = CookToom<kKernel>::points;  // extent of a patch
  static constexpr auto& matrices = CookToom<kKernel>::matrices;

  /// One row of tiles from m to y.
  static void finish(const Problem& problem, const Layout& layout, const float* m, const float* bias,
                     const TileRow<float, std::uint8_t>& row) {
    for (std::int64_t tile = 0; tile < problem.tile_columns(); ++tile, m += layout.out_stride) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        using V = Vector<decltype(d)>;
        V half_done[2][n];
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) {
          V column[n];
          V out[2];
          LOCKSTEP_UNROLL
          for (int i = 0; i < n; ++i) column[i] = hn::LoadU(d, m + (i * n + j) * layout.out_point + c);
          from_points(d, matrices.output, column, out);
          half_done[0][j] = out[0];
          half_done[1][j] = out[1];
        }
        V z[4];
        from_points(d, matrices.output, half_done[0], z);
        from_points(d, matrices.output, half_done[1], z + 2);
        if (bias != nullptr) {
          const V b = load(d, bias + c, count);
          LOCKSTEP_UNROLL
          for (V& output : z) output = hn::Add(output, b);
        }
        finish_tile(d, problem, row, tile, c, count, layout.out_stride, z);
      });
    }
  }

  /// One row of tiles from dy to dm; adds to the bias's gradient.
  static void start(const Problem& problem, const Layout& layout,
                    const TileRow<const float, const std::uint8_t>& row, float* dm, float* dbias) {
    for (std::int64_t tile = 0; tile < problem.tile_columns(); ++tile, dm += layout.out_stride) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        using V = Vector<decltype(d)>;
        V z[4];
        start_tile(d, problem, row, tile, c, count, layout.out_stride, z);
        if (dbias != nullptr) {
          const V sum = hn::Add(hn::Add(z[0], z[1]), hn::Add(z[2], z[3]));
          store(d, hn::Add(load(d, dbias + c, count), sum), dbias + c, count);
        }
        V half_done[2][n];
        to_points(d, matrices.output, z, half_done[0]);
        to_points(d, matrices.output, z + 2, half_done[1]);
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) {
          const V column[2] = {half_done[0][j], half_done[1][j]};
          V out[n];
          to_points(d, matrices.output, column, out);
          LOCKSTEP_UNROLL
          for (int i = 0; i < n; ++i) hn::StoreU(out[i], d, dm + (i * n + j) * layout.out_point + c);
        }
      });
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
