// The tiles of the Winograd kernels: each covers kTile×kTile outputs, a few windows in each direction. Those
// at the lower and right edges may hang over it; what they compute out there is left.
#if defined(LOCKSTEP_FUSED_WINOGRAD_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_WINOGRAD_TILES_INL_H_
#undef LOCKSTEP_FUSED_WINOGRAD_TILES_INL_H_
#else
#define LOCKSTEP_FUSED_WINOGRAD_TILES_INL_H_
#endif

#include <algorithm>

#include "device/cpu/fused/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Rounded up to an odd number of cache lines.
inline std::int64_t odd_lines(std::int64_t floats) {
  const std::int64_t lines = round_up(floats, 16);
  return lines % 32 == 0 ? lines + 16 : lines;
}

template <int kTile>
struct WinogradTiles {
  static constexpr int windows = kTile / 2;  ///< of a tile, in each direction
  static_assert(kTile % 2 == 0);

  static std::int64_t rows(const Problem& problem) { return (problem.window_rows() + windows - 1) / windows; }
  static std::int64_t columns(const Problem& problem) {
    return (problem.window_columns() + windows - 1) / windows;
  }
  /// Of all samples, one after the other.
  static std::int64_t all_rows(const Problem& problem) { return problem.samples * rows(problem); }

  /// Tile row `index` of a shard: of which sample, where in it.
  struct TileRowPlace {
    std::int64_t sample, tile_row;
    std::int64_t first_window_row;  ///< of its window rows, among those of the shard
    int window_rows;                ///< that lie in the sample

    HWY_INLINE TileRowPlace(const Problem& problem, std::int64_t index)
        : sample(index / rows(problem)),
          tile_row(index % rows(problem)),
          first_window_row(sample * problem.window_rows() + tile_row * windows),
          window_rows(
              static_cast<int>(std::min<std::int64_t>(windows, problem.window_rows() - tile_row * windows))) {
    }
  };

  /// The window rows of a tile row.
  template <class Row>
  struct WindowRows {
    Row row[windows];
    int count = 0;
  };

  /// Calls f(row, column, window row, window column) for those windows of tile `tile` of a row that are
  /// within the sample: where in the tile, and where in the row.
  template <class Row, class F>
  HWY_INLINE static void for_each_window(const Problem& problem, const WindowRows<Row>& rows,
                                         std::int64_t tile, F f) {
    LOCKSTEP_UNROLL
    for (int i = 0; i < windows; ++i) {
      LOCKSTEP_UNROLL
      for (int j = 0; j < windows; ++j) {
        const std::int64_t column = tile * windows + j;
        if (i < rows.count && column < problem.window_columns()) f(i, j, rows.row[i], column);
      }
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
