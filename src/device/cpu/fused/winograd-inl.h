// The block in the Winograd domain, F(m×m, r×r): the transform's output tile is made of pooling windows.
//
// A tile of m×m outputs comes from a patch of n×n inputs, n = m + r - 1. Transformed, patch and filter meet
// in n² multiplications instead of m² r²: for each output of a 5×5 kernel 9 with m = 2 and 4 with m = 4
// instead of 25, of a 3×3 kernel 4 and 2¼ instead of 9. For all tiles and channels these are n² matrix
// products, one for each point p of the transform domain:
//
//   forward           m[p] = v[p] u[p]      (tiles × out) = (tiles × in) (in × out)
//   weight gradient  du[p] = v[p]ᵀ dm[p]
//   data gradient    dv[p] = dm[p] u[p]ᵀ
//
// v: transformed input, u: transformed weights, m: transformed output. Backward is the transpose of forward,
// step by step, so it uses the same matrices transposed. Bias, ReLU and pool happen in the registers that the
// output transform ends in; backward starts there from windows with one non-zero.
//
// Work goes by strips of tile rows. The distance from point to point is an odd number of cache lines: a
// transform touches all points of a tile or filter, and powers of two would put them into a few sets of the
// cache.
//
// Where few outputs are alive behind a ReLU and a pool, backward goes by the definition (alive-inl.h). Where
// that may be, uᵀ is not packed in each step: who needs it in spite of it transposes u.
#if defined(LOCKSTEP_FUSED_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_INL_H_
#endif

#include "device/cpu/fused/alive-inl.h"
#include "device/cpu/fused/product-inl.h"
#include "device/cpu/fused/winograd_input-inl.h"
#include "device/cpu/fused/winograd_output-inl.h"
#include "device/cpu/fused/winograd_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

template <int kTile, int kKernel>
struct Winograd {
  using Tiles = WinogradTiles<kTile>;
  using Weights = WinogradWeights<kTile, kKernel>;
  using Input = WinogradInput<kTile, kKernel>;
  using Output = WinogradOutput<kTile, kKernel>;
  static constexpr int points = Weights::n * Weights::n;

  /// Tile rows whose v and m fit into L2, if a few fewer suffice so many that the products have whole blocks
  /// of rows; but enough that the products make up for reading their weights again for each strip. Small
  /// weights come from a cache nearby, so that strips may be short and leave them room in L2.
  static std::int64_t strip_rows_of(const Problem& problem, std::int64_t in_stride, std::int64_t out_stride) {
    constexpr std::int64_t small_weights = std::int64_t{128} * 1024;
    const bool small = points * in_stride * out_stride <= small_weights;
    const std::int64_t strip_floats = std::int64_t{small ? 72 : 192} * 1024;
    const std::int64_t enough_tiles = small ? 16 : 64;
    constexpr std::int64_t block = 8;
    const std::int64_t channels = in_stride + out_stride;
    const std::int64_t columns = Tiles::columns(problem);
    const std::int64_t fitting = strip_floats / (points * columns * channels);
    std::int64_t rows = fitting;
    while (rows > std::max<std::int64_t>(fitting - block, 0) && rows * columns % block != 0) --rows;
    if (rows == 0 || rows * columns % block != 0) rows = fitting;
    const std::int64_t enough = (enough_tiles + columns - 1) / columns;
    return std::min(std::max(rows, enough), Tiles::all_rows(problem));
  }

  static Layout layout(const Problem& problem, bool data_gradient) {
    Layout layout;
    layout.in_stride = round_up(problem.in_channels, half_lanes);
    layout.out_stride = round_up(problem.out_channels, half_lanes);
    layout.strip_rows = strip_rows_of(problem, layout.in_stride, layout.out_stride);
    const std::int64_t tiles = layout.strip_rows * Tiles::columns(problem);
    layout.in_point = odd_lines(tiles * layout.in_stride);
    layout.out_point = odd_lines(tiles * layout.out_stride);
    layout.packed = Weights::floats(problem, layout);
    layout.packing_pieces = Weights::pieces(problem, layout);
    layout.forward_workspace =
        points * (layout.in_point + layout.out_point) + Tiles::windows * staging_of(problem);
    layout.backward_workspace = layout.forward_workspace + Weights::floats(problem, layout);
    if (data_gradient && AliveGradients::suits(problem)) {
      layout.alive_filters = layout.packed;
      layout.packed += AliveGradients::packed_floats(problem);
      ++layout.packing_pieces;
      layout.backward_workspace += Weights::transposed_floats(problem, layout);
    } else if (data_gradient) {
      layout.transposed_filters = layout.packed;
      layout.packed += Weights::transposed_floats(problem, layout);
      layout.packing_pieces *= 2;
    }
    if (AliveGradients::suits(problem))
      layout.backward_workspace =
          std::max(layout.backward_workspace, AliveGradients::workspace_floats(problem));
    layout.record = problem.all_window_rows() * problem.window_columns() * layout.out_stride;
    return layout;
  }

  static void pack(const Problem& problem, const Layout& layout, std::int64_t piece, const float* weights,
                   float* packed) {
    if (layout.alive_filters > 0 && piece + 1 == layout.packing_pieces)
      AliveGradients::pack(problem, weights, packed + layout.alive_filters);
    else
      Weights::pack(problem, layout, piece, weights, packed);
  }

  /// The parts of the workspace.
  struct Workspace {
    float *v, *m, *staging, *du, *transposed;
    Workspace(const Problem& problem, const Layout& layout, float* memory)
        : v(memory),
          m(v + points * layout.in_point),
          staging(m + points * layout.out_point),
          du(staging + Tiles::windows * staging_of(problem)),
          transposed(du + Weights::floats(problem, layout)) {}
  };

  static void forward(const Problem& problem, const Layout& layout, const Forward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const std::int64_t filter = Weights::point(problem, layout);
    const std::int64_t all = Tiles::all_rows(problem);
    for (std::int64_t begin = 0; begin < all; begin += layout.strip_rows) {
      const std::int64_t end = begin + layout.strip_rows < all ? begin + layout.strip_rows : all;
      const std::int64_t tiles = (end - begin) * Tiles::columns(problem);
      Input::transform(problem, layout, begin, end, pass.x, workspace.v);
      for (int p = 0; p < points; ++p)
        multiply(tiles, layout.out_stride, problem.in_channels,
                 {workspace.v + p * layout.in_point, layout.in_stride, 1},
                 {pass.packed + p * filter, layout.out_stride},
                 {workspace.m + p * layout.out_point, layout.out_stride, false});
      for (std::int64_t index = begin; index < end; ++index) {
        const typename Tiles::TileRowPlace place(problem, index);
        typename Output::DstRows rows;
        for (; rows.count < place.window_rows; ++rows.count)
          rows.row[rows.count] = destination(problem, place.first_window_row + rows.count, layout.out_stride,
                                             pass, workspace.staging + rows.count * staging_of(problem));
        const float* m = workspace.m + (index - begin) * Tiles::columns(problem) * layout.out_stride;
        Output::finish(problem, layout, m, pass.bias, rows);
        for (int row = 0; row < rows.count; ++row)
          unstage(problem, place.first_window_row + row, workspace.staging + row * staging_of(problem),
                  pass.y);
      }
    }
  }

  static void backward(const Problem& problem, const Layout& layout, const Backward& pass) {
    if (AliveGradients::suits(problem)) {
      const float* const filters = pass.dx == nullptr ? nullptr : pass.packed + layout.alive_filters;
      if (AliveGradients::pays(problem, layout, pass, filters))
        return AliveGradients::backward(problem, layout, pass, filters);
    }
    transformed_backward(problem, layout, pass);
  }

  static void transformed_backward(const Problem& problem, const Layout& layout, const Backward& pass) {
    const Workspace workspace(problem, layout, pass.workspace);
    const std::int64_t filter = Weights::point(problem, layout);
    const std::int64_t data_filter = Weights::transposed_point(problem, layout);
    const bool transposes = pass.dx != nullptr && layout.transposed_filters == 0;
    if (transposes) Weights::transpose(problem, layout, pass.packed, workspace.transposed);
    const float* const data_weights =
        transposes ? workspace.transposed : pass.packed + layout.transposed_filters;
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    const std::int64_t all = Tiles::all_rows(problem);
    for (std::int64_t begin = 0; begin < all; begin += layout.strip_rows) {
      const std::int64_t end = begin + layout.strip_rows < all ? begin + layout.strip_rows : all;
      const std::int64_t tiles = (end - begin) * Tiles::columns(problem);
      Input::transform(problem, layout, begin, end, pass.x, workspace.v);
      for (std::int64_t index = begin; index < end; ++index) {
        const typename Tiles::TileRowPlace place(problem, index);
        typename Output::SrcRows rows;
        for (; rows.count < place.window_rows; ++rows.count)
          rows.row[rows.count] = source(problem, place.first_window_row + rows.count, layout.out_stride, pass,
                                        workspace.staging + rows.count * staging_of(problem));
        float* dm = workspace.m + (index - begin) * Tiles::columns(problem) * layout.out_stride;
        Output::start(problem, layout, rows, dm, pass.dbias);
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
      if (pass.dx != nullptr) Input::collect(problem, layout, begin, end, workspace.v, pass.dx);
    }
    Weights::unpack(problem, layout, workspace.du, pass.dweight);
  }

  static constexpr Method method() { return {layout, pack, forward, backward}; }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
