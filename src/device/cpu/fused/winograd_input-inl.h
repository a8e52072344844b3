// Winograd's transform of the input patches, v = Bᵀ d B, and its transpose for the data gradient.
//
// A row of tiles is transformed in two steps: all its columns, which neighbouring patches share, then the
// rows of each patch. Cells outside the image are zeros.
#if defined(LOCKSTEP_FUSED_WINOGRAD_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_INPUT_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_INPUT_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_INPUT_INL_H_
#endif

#include "device/cpu/fused/transform-inl.h"
#include "device/cpu/fused/winograd_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kTile, int kKernel>
struct WinogradInput {
  using Tiles = WinogradTiles<kTile>;
  static constexpr int n = CookToom<kTile, kKernel>::points;  // extent of a patch
  static constexpr auto& matrices = CookToom<kTile, kKernel>::matrices;
  /// Tiles whose columns are transformed together, and stay in L1 meanwhile.
  static constexpr int chunk = 32 / kTile;
  static constexpr int chunk_columns = kTile * chunk + kKernel - 1;

  /// Transforms the patches of `tiles` tiles from tile `first` of a row on, for a vector of channels. `x` is
  /// the sample's, at the vector's first channel; v that of tile `first`.
  template <class D, class Count>
  static void transform_part(D d, const Problem& problem, const Layout& layout, std::int64_t tile_row,
                             std::int64_t first, std::int64_t tiles, const float* x, Count count, float* v) {
    using V = Vector<D>;
    V columns[chunk_columns][n];
    const std::int64_t top = kTile * tile_row - problem.pad_top;
    const std::int64_t left = kTile * first - problem.pad_left;
    const bool all_rows = top >= 0 && top + n <= problem.in_height;
    const std::int64_t width = kTile * tiles + kKernel - 1;
    for (std::int64_t j = 0; j < width; ++j) {
      V in[n];
      const bool inside = left + j >= 0 && left + j < problem.in_width;
      const float* from = x + (top * problem.in_width + left + j) * problem.in_channels;
      const std::int64_t below = problem.in_width * problem.in_channels;
      if (inside && all_rows) {
        LOCKSTEP_UNROLL
        for (int i = 0; i < n; ++i) in[i] = load(d, from + i * below, count);
      } else {
        LOCKSTEP_UNROLL
        for (int i = 0; i < n; ++i)
          in[i] = inside && top + i >= 0 && top + i < problem.in_height ? load(d, from + i * below, count)
                                                                        : hn::Zero(d);
      }
      to_points(d, matrices.input, in, columns[j]);
    }
    const std::int64_t point = layout.in_point;
    const std::int64_t stride = layout.in_stride;
    for (std::int64_t tile = 0; tile < tiles; ++tile, v += stride) {
      const Points<n, float> points{v, point};
      LOCKSTEP_UNROLL
      for (int i = 0; i < n; ++i) {
        V line[n];
        V out[n];
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) line[j] = columns[kTile * tile + j][i];
        to_points(d, matrices.input, line, out);
        points.store_row(d, out, i);
      }
    }
  }

  /// Its transpose: adds what the patches of these tiles receive to dx.
  template <class D, class Count>
  static void collect_part(D d, const Problem& problem, const Layout& layout, std::int64_t tile_row,
                           std::int64_t first, std::int64_t tiles, const float* dv, Count count, float* dx) {
    using V = Vector<D>;
    V columns[chunk_columns][n];
    const std::int64_t top = kTile * tile_row - problem.pad_top;
    const std::int64_t left = kTile * first - problem.pad_left;
    const std::int64_t width = kTile * tiles + kKernel - 1;
    for (std::int64_t j = 0; j < width; ++j)
      for (int i = 0; i < n; ++i) columns[j][i] = hn::Zero(d);
    const std::int64_t point = layout.in_point;
    const std::int64_t stride = layout.in_stride;
    for (std::int64_t tile = 0; tile < tiles; ++tile, dv += stride) {
      const Points<n, const float> points{dv, point};
      LOCKSTEP_UNROLL
      for (int i = 0; i < n; ++i) {
        V line[n];
        V out[n];
        points.load_row(d, i, line);
        from_points(d, matrices.input, line, out);
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j)
          columns[kTile * tile + j][i] = hn::Add(columns[kTile * tile + j][i], out[j]);
      }
    }
    for (std::int64_t j = 0; j < width; ++j) {
      if (left + j < 0 || left + j >= problem.in_width) continue;
      V out[n];
      from_points(d, matrices.input, columns[j], out);
      float* to = dx + (top * problem.in_width + left + j) * problem.in_channels;
      LOCKSTEP_UNROLL
      for (int i = 0; i < n; ++i) {
        if (top + i < 0 || top + i >= problem.in_height) continue;
        float* cell = to + i * problem.in_width * problem.in_channels;
        store(d, hn::Add(load(d, cell, count), out[i]), cell, count);
      }
    }
  }

  /// Calls f(tag, channel, count, first tile, tiles) for all parts of a row of tiles.
  template <class F>
  HWY_INLINE static void for_each_part(const Problem& problem, F f) {
    for_each_vector(problem.in_channels, [&](auto d, std::int64_t c, auto count) {
      const std::int64_t columns = Tiles::columns(problem);
      for (std::int64_t first = 0; first < columns; first += chunk) {
        const std::int64_t left = columns - first;
        f(d, c, count, first, left < chunk ? left : chunk);
      }
    });
  }

  /// v for the tile rows [begin, end).
  static void transform(const Problem& problem, const Layout& layout, std::int64_t begin, std::int64_t end,
                        const float* x, float* v) {
    const std::int64_t sample = problem.in_height * problem.in_width * problem.in_channels;
    for (std::int64_t index = begin; index < end; ++index, v += Tiles::columns(problem) * layout.in_stride) {
      const typename Tiles::TileRowPlace place(problem, index);
      for_each_part(problem, [&](auto d, std::int64_t c, auto count, std::int64_t first, std::int64_t tiles) {
        transform_part(d, problem, layout, place.tile_row, first, tiles, x + place.sample * sample + c, count,
                       v + first * layout.in_stride + c);
      });
    }
  }

  static void collect(const Problem& problem, const Layout& layout, std::int64_t begin, std::int64_t end,
                      const float* dv, float* dx) {
    const std::int64_t sample = problem.in_height * problem.in_width * problem.in_channels;
    for (std::int64_t index = begin; index < end; ++index, dv += Tiles::columns(problem) * layout.in_stride) {
      const typename Tiles::TileRowPlace place(problem, index);
      if (place.tile_row == 0) clear(dx + place.sample * sample, sample);
      for_each_part(problem, [&](auto d, std::int64_t c, auto count, std::int64_t first, std::int64_t tiles) {
        collect_part(d, problem, layout, place.tile_row, first, tiles, dv + first * layout.in_stride + c,
                     count, dx + place.sample * sample + c);
      });
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
