// The block in the Winograd domain, F(2×2, r×r): the transform's output tile is the pooling window.
//
// A tile of 2×2 outputs comes from a patch of n×n inputs, n = r + 1. Transformed, patch and filter meet in n²
// multiplications instead of 4 r² (36 instead of 100; 16 instead of 36). For all tiles and channels these
// are n² matrix products, one for each point p of the transform domain:
//
//   forward           m[p] = v[p] u[p]      (tiles × out) = (tiles × in) (in × out)
//   weight gradient  du[p] = v[p]ᵀ dm[p]
//   data gradient    dv[p] = dm[p] u[p]ᵀ
//
// v: transformed input, u: transformed weights, m: transformed output. Backward is the transpose of forward,
// step by step, so it uses the same matrices transposed. Bias, ReLU and pool happen in the registers that the
// output transform ends in; backward starts there from a tile with one non-zero.
//
// Work goes by strips of tile rows, few enough that v and m stay in L2. The distance from point to point is
// an odd number of cache lines: a transform touches all points of a tile, and powers of two would put them
// into a few sets of the cache.
#if defined(LOCKSTEP_FUSED_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_INL_H_
#endif

#include "device/cpu/fused/filters-inl.h"
#include "device/cpu/fused/product-inl.h"
#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kKernel>
struct Winograd {
  using Transform = CookToom<kKernel>;
  static constexpr int n = Transform::points;  // extent of a patch
  static constexpr int points = n * n;
  static constexpr auto& matrices = Transform::matrices;
  /// Tiles whose columns are transformed together, and are shared by neighbours.
  static constexpr int chunk = 16;
  static constexpr int chunk_columns = 2 * chunk + kKernel - 1;

  static std::int64_t odd_lines(std::int64_t floats) {
    return round_up(floats, 16) + (round_up(floats, 16) % 32 == 0 ? 16 : 0);
  }

  static Layout layout(const Problem& problem, bool data_gradient) {
    constexpr std::int64_t strip_floats = std::int64_t{96} * 1024;
    Layout layout;
    layout.in_stride = round_up(problem.in_channels, half_lanes);
    layout.out_stride = round_up(problem.out_channels, half_lanes);
    const std::int64_t row = points * problem.tile_columns() * (layout.in_stride + layout.out_stride);
    layout.strip_rows = strip_floats / row;
    // Whole blocks of rows in the products, where that takes no more than a few tile rows.
    for (std::int64_t rows = layout.strip_rows; rows > 0 && rows > layout.strip_rows - 8; --rows) {
      if (rows * problem.tile_columns() % 8 != 0) continue;
      layout.strip_rows = rows;
      break;
    }
    if (layout.strip_rows < 1) layout.strip_rows = 1;
    if (layout.strip_rows > problem.all_tile_rows()) layout.strip_rows = problem.all_tile_rows();
    const std::int64_t tiles = layout.strip_rows * problem.tile_columns();
    layout.in_point = odd_lines(tiles * layout.in_stride);
    layout.out_point = odd_lines(tiles * layout.out_stride);
    layout.packed = weights_floats(problem, layout) +
                    (data_gradient ? points * problem.out_channels * layout.in_stride : 0);
    layout.workspace =
        points * (layout.in_point + layout.out_point) + staging_of(problem) + weights_floats(problem, layout);
    layout.record = problem.all_tile_rows() * problem.tile_columns() * layout.out_stride;
    return layout;
  }

  /// Floats of u.
  static std::int64_t weights_floats(const Problem& problem, const Layout& layout) {
    return round_up(points * problem.in_channels * layout.out_stride, 16);
  }

  /// The parts of the workspace.
  struct Workspace {
    float *v, *m, *staging, *du;
    Workspace(const Problem& problem, const Layout& layout, float* memory)
        : v(memory),
          m(v + points * layout.in_point),
          staging(m + points * layout.out_point),
          du(staging + staging_of(problem)) {}
  };

  /// u[p][row][column], channels of one kind in rows and of the other in lanes. A row's filter is
  /// `row_stride` from the next, a column's `column_stride`.
  static void pack_one(std::int64_t rows, std::int64_t columns, const float* weights, std::int64_t row_stride,
                       std::int64_t column_stride, std::int64_t stride, float* u) {
    constexpr int taps = kKernel * kKernel;
    for (std::int64_t row = 0; row < rows; ++row) {
      for_each_vector(columns, [&](auto d, std::int64_t c, std::int64_t count) {
        using V = Vector<decltype(d)>;
        V g[taps];
        load_filters<taps>(d, weights + row * row_stride + c * column_stride, column_stride, count, g);
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
          for (int j = 0; j < n; ++j) hn::StoreU(out[j], d, u + ((i * n + j) * rows + row) * stride + c);
        }
      });
    }
  }

  static void pack(const Problem& problem, const Layout& layout, bool data_gradient, const float* weights,
                   float* packed) {
    constexpr std::int64_t taps = kKernel * kKernel;
    const std::int64_t out_filter = problem.in_channels * taps;
    pack_one(problem.in_channels, problem.out_channels, weights, taps, out_filter, layout.out_stride, packed);
    if (data_gradient)
      pack_one(problem.out_channels, problem.in_channels, weights, out_filter, taps, layout.in_stride,
               packed + weights_floats(problem, layout));
  }

  /// The weights' gradient from du.
  static void unpack(const Problem& problem, const Layout& layout, const float* du, float* dweight) {
    constexpr int taps = kKernel * kKernel;
    const std::int64_t filter = problem.in_channels * taps;
    for (std::int64_t row = 0; row < problem.in_channels; ++row) {
      for_each_vector(problem.out_channels, [&](auto d, std::int64_t c, std::int64_t count) {
        using V = Vector<decltype(d)>;
        V half_done[n][kKernel];
        for (int i = 0; i < n; ++i) {
          V line[n];
          for (int j = 0; j < n; ++j)
            line[j] = hn::LoadU(d, du + ((i * n + j) * problem.in_channels + row) * layout.out_stride + c);
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

  /// Transforms the patches of `tiles` tiles from tile `first` of a row on, for a vector of channels. `x` is
  /// the sample's, at the vector's first channel; v that of tile `first`.
  template <class D>
  static void transform_patches(D d, const Problem& problem, const Layout& layout, std::int64_t tile_row,
                                std::int64_t first, std::int64_t tiles, const float* x, std::int64_t count,
                                float* v) {
    using V = Vector<D>;
    V columns[chunk_columns][n];
    const std::int64_t top = 2 * tile_row - problem.pad_top;
    const std::int64_t left = 2 * first - problem.pad_left;
    const bool all_rows = top >= 0 && top + n <= problem.in_height;
    const std::int64_t width = 2 * tiles + kKernel - 1;
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
    for (std::int64_t tile = 0; tile < tiles; ++tile, v += layout.in_stride) {
      LOCKSTEP_UNROLL
      for (int i = 0; i < n; ++i) {
        V line[n];
        V out[n];
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) line[j] = columns[2 * tile + j][i];
        to_points(d, matrices.input, line, out);
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) hn::StoreU(out[j], d, v + (i * n + j) * layout.in_point);
      }
    }
  }

  /// Its transpose: adds what the patches of these tiles receive to dx.
  template <class D>
  static void collect_patches(D d, const Problem& problem, const Layout& layout, std::int64_t tile_row,
                              std::int64_t first, std::int64_t tiles, const float* dv, std::int64_t count,
                              float* dx) {
    using V = Vector<D>;
    V columns[chunk_columns][n];
    const std::int64_t top = 2 * tile_row - problem.pad_top;
    const std::int64_t left = 2 * first - problem.pad_left;
    const std::int64_t width = 2 * tiles + kKernel - 1;
    for (std::int64_t j = 0; j < width; ++j)
      for (int i = 0; i < n; ++i) columns[j][i] = hn::Zero(d);
    for (std::int64_t tile = 0; tile < tiles; ++tile, dv += layout.in_stride) {
      LOCKSTEP_UNROLL
      for (int i = 0; i < n; ++i) {
        V line[n];
        V out[n];
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) line[j] = hn::LoadU(d, dv + (i * n + j) * layout.in_point);
        from_points(d, matrices.input, line, out);
        LOCKSTEP_UNROLL
        for (int j = 0; j < n; ++j) columns[2 * tile + j][i] = hn::Add(columns[2 * tile + j][i], out[j]);
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
    for_each_vector(problem.in_channels, [&](auto d, std::int64_t c, std::int64_t count) {
      for (std::int64_t first = 0; first < problem.tile_columns(); first += chunk) {
        const std::int64_t left = problem.tile_columns() - first;
        f(d, c, count, first, left < chunk ? left : chunk);
      }
    });
  }

  /// v for the tile rows [begin, end).
  static void transform_input(const Problem& problem, const Layout& layout, std::int64_t begin,
                              std::int64_t end, const float* x, float* v) {
    const std::int64_t sample = problem.in_height * problem.in_width * problem.in_channels;
    for (std::int64_t index = begin; index < end; ++index, v += problem.tile_columns() * layout.in_stride) {
      const RowPlace place(problem, index);
      for_each_part(
          problem, [&](auto d, std::int64_t c, std::int64_t count, std::int64_t first, std::int64_t tiles) {
            transform_patches(d, problem, layout, place.tile_row, first, tiles, x + place.sample * sample + c,
                              count, v + first * layout.in_stride + c);
          });
    }
  }

  static void collect_input(const Problem& problem, const Layout& layout, std::int64_t begin,
                            std::int64_t end, const float* dv, float* dx) {
    const std::int64_t sample = problem.in_height * problem.in_width * problem.in_channels;
    for (std::int64_t index = begin; index < end; ++index, dv += problem.tile_columns() * layout.in_stride) {
      const RowPlace place(problem, index);
      if (place.tile_row == 0) clear(dx + place.sample * sample, sample);
      for_each_part(
          problem, [&](auto d, std::int64_t c, std::int64_t count, std::int64_t first, std::int64_t tiles) {
            collect_patches(d, problem, layout, place.tile_row, first, tiles,
                            dv + first * layout.in_stride + c, count, dx + place.sample * sample + c);
          });
    }
  }

  /// One row of tiles from m to y.
  static void transform_output(const Problem& problem, const Layout& layout, const float* m,
                               const float* bias, const TileRow<float, std::uint8_t>& row) {
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
          for (int k = 0; k < 4; ++k) z[k] = hn::Add(z[k], b);
        }
        finish_tile(d, problem, row, tile, c, count, layout.out_stride, z);
      });
    }
  }

  /// One row of tiles from dy to dm; adds to the bias's gradient.
  static void start_output(const Problem& problem, const Layout& layout,
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

  static void forward(const Problem& problem, const Layout& layout, const Forward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const std::int64_t filter = problem.in_channels * layout.out_stride;
    const std::int64_t all = problem.all_tile_rows();
    for (std::int64_t begin = 0; begin < all; begin += layout.strip_rows) {
      const std::int64_t end = begin + layout.strip_rows < all ? begin + layout.strip_rows : all;
      const std::int64_t tiles = (end - begin) * problem.tile_columns();
      transform_input(problem, layout, begin, end, pass.x, workspace.v);
      for (int p = 0; p < points; ++p)
        multiply(tiles, layout.out_stride, problem.in_channels,
                 {workspace.v + p * layout.in_point, layout.in_stride, 1},
                 {pass.packed + p * filter, layout.out_stride},
                 {workspace.m + p * layout.out_point, layout.out_stride, false});
      for (std::int64_t index = begin; index < end; ++index) {
        const auto row = destination(problem, index, layout.out_stride, pass, workspace.staging);
        const float* m = workspace.m + (index - begin) * problem.tile_columns() * layout.out_stride;
        transform_output(problem, layout, m, pass.bias, row);
        unstage(problem, index, workspace.staging, pass.y);
      }
    }
  }

  static void backward(const Problem& problem, const Layout& layout, const Backward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const std::int64_t filter = problem.in_channels * layout.out_stride;
    const std::int64_t data_filter = problem.out_channels * layout.in_stride;
    const float* data_weights = pass.packed + weights_floats(problem, layout);
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    const std::int64_t all = problem.all_tile_rows();
    for (std::int64_t begin = 0; begin < all; begin += layout.strip_rows) {
      const std::int64_t end = begin + layout.strip_rows < all ? begin + layout.strip_rows : all;
      const std::int64_t tiles = (end - begin) * problem.tile_columns();
      transform_input(problem, layout, begin, end, pass.x, workspace.v);
      for (std::int64_t index = begin; index < end; ++index) {
        const auto row = source(problem, index, layout.out_stride, pass, workspace.staging);
        float* dm = workspace.m + (index - begin) * problem.tile_columns() * layout.out_stride;
        start_output(problem, layout, row, dm, pass.dbias);
      }
      for (int p = 0; p < points; ++p) {
        float* v = workspace.v + p * layout.in_point;
        const float* dm = workspace.m + p * layout.out_point;
        multiply(problem.in_channels, layout.out_stride, tiles, {v, 1, layout.in_stride},
                 {dm, layout.out_stride}, {workspace.du + p * filter, layout.out_stride, begin > 0});
        // v has served, so dv takes its place.
        if (pass.dx != nullptr)
          multiply(tiles, layout.in_stride, problem.out_channels, {dm, layout.out_stride, 1},
                   {data_weights + p * data_filter, layout.in_stride}, {v, layout.in_stride, false});
      }
      if (pass.dx != nullptr) collect_input(problem, layout, begin, end, workspace.v, pass.dx);
    }
    unpack(problem, layout, workspace.du, pass.dweight);
  }

  static constexpr Method method() { return {layout, pack, forward, backward}; }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
