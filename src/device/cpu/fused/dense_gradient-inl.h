// The weight gradient of a dense layer, dW = dyᵀ x, of many shards at once.
//
// Each shard's own gradient would be as large as the weights, written to memory and read again to be added
// up. Here a tile of dW stays in registers and L1 from the first shard to the last: for each shard one chain
// of fused multiply-adds over its samples, then the additions of the tree that have become possible, like the
// carries of a binary counter. What a shard keeps for that, x and dy, is small.
//
// Kept floats: x in panels of a few vectors of columns, dy in groups of rows, each sample by sample, so that
// a tile reads both from one end to the other. Columns and rows at the end are padded with zeros.
#if defined(LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#undef LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#else
#define LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#endif

#include <algorithm>
#include <span>

#include "device/cpu/fused/kernels.h"
#include "device/cpu/fused/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class DenseGradients {
 public:
  static DenseGradient method() {
    return {.kept_floats = kept_floats, .keep = keep, .pieces = pieces, .add_up = add_up};
  }

 private:
  static constexpr std::int64_t group = 8;              // rows of dW whose dy lie together
  static constexpr std::int64_t rows_of_a_piece = 128;  // so that threads find enough pieces
  static constexpr int most_levels = 32;                // of a tree of shards

  static std::int64_t kept_floats(const DenseExtents& extents) {
    return round_up(extents.in, lanes) + round_up(extents.out, group);
  }

  static void keep(const DenseExtents& extents, std::int64_t samples, const float* x, const float* dy,
                   float* kept) {
    for_each_panel(round_up(extents.in, lanes), [&](std::int64_t column, int vectors, bool) {
      copy_columns(x + column, extents.in, samples, std::min(vectors * lanes, extents.in - column),
                   vectors * lanes, kept + column * samples);
    });
    kept += round_up(extents.in, lanes) * samples;
    for (std::int64_t row = 0; row < extents.out; row += group)
      copy_columns(dy + row, extents.out, samples, std::min(group, extents.out - row), group,
                   kept + row * samples);
  }

  /// `count` columns of `width`, the others zero.
  static void copy_columns(const float* HWY_RESTRICT from, std::int64_t stride, std::int64_t samples,
                           std::int64_t count, std::int64_t width, float* HWY_RESTRICT to) {
    for (std::int64_t s = 0; s < samples; ++s, from += stride, to += width) {
      std::copy_n(from, count, to);
      clear(to + count, width - count);
    }
  }

  static std::int64_t panels(const DenseExtents& extents) { return (vectors_of(extents) + 2) / 3; }
  static std::int64_t vectors_of(const DenseExtents& extents) { return round_up(extents.in, lanes) / lanes; }

  static std::int64_t pieces(const DenseExtents& extents) {
    return panels(extents) * ((extents.out + rows_of_a_piece - 1) / rows_of_a_piece);
  }

  static void add_up(const DenseExtents& extents, std::int64_t before, std::int64_t piece,
                     std::span<const KeptShard> shards, float* dweight) {
    const std::int64_t count = panels(extents);
    const std::int64_t panel = piece % count;
    // As for_each_panel cuts them: widths differ by one at most, and the wider ones come first.
    const std::int64_t narrow = vectors_of(extents) / count;
    const std::int64_t wider = vectors_of(extents) % count;
    const std::int64_t column = (panel * narrow + std::min(panel, wider)) * lanes;
    const std::int64_t vectors = narrow + (panel < wider ? 1 : 0);
    const std::int64_t first_row = piece / count * rows_of_a_piece;
    const std::int64_t end_row = std::min(first_row + rows_of_a_piece, extents.out);
    const Panel where{extents, before, column, shards, dweight};
    if (vectors == 1) add_up_panel<1>(where, first_row, end_row);
    if (vectors == 2) add_up_panel<2>(where, first_row, end_row);
    if (vectors == 3) add_up_panel<3>(where, first_row, end_row);
  }

  struct Panel {
    const DenseExtents& extents;
    std::int64_t before;  ///< floats a sample that other layers keep before these
    std::int64_t column;
    std::span<const KeptShard> shards;
    float* dweight;
  };

  template <int kVectors>
  static void add_up_panel(const Panel& panel, std::int64_t first_row, std::int64_t end_row) {
    for (std::int64_t row = first_row; row < end_row; row += rows_of(kVectors))
      add_up_tile<rows_of(kVectors), kVectors>(panel, row,
                                               std::min<std::int64_t>(rows_of(kVectors), end_row - row));
  }

  template <int kRows, int kVectors>
  static HWY_NOINLINE void add_up_tile(const Panel& panel, std::int64_t row, std::int64_t rows) {
    constexpr std::int64_t width = kVectors * lanes;
    static_assert(group % kRows == 0);
    HWY_ALIGN float left[most_levels][kRows * width];  // sums that wait for their right sibling, by level
    Accumulators<kRows, kVectors, false> sum;
    sum.clear();
    for (std::size_t i = 0; i < panel.shards.size(); ++i) {
      const KeptShard& shard = panel.shards[i];
      const float* x = shard.data + (panel.before + panel.column) * shard.samples;
      const float* dy =
          shard.data +
          (panel.before + round_up(panel.extents.in, lanes) + row / group * group) * shard.samples +
          row % group;
      sum.clear();
      for (std::int64_t s = 0; s < shard.samples; ++s, x += width, dy += group)
        sum.add([&](int r) { return dy[r]; }, x);
      int level = 0;
      for (; (i >> level & 1U) != 0; ++level) sum.add_left(left[level], width);
      if (i + 1 < panel.shards.size()) sum.store(left[level], width);
    }
    store(sum, panel, row, rows);
  }

  template <int kRows, int kVectors>
  static HWY_INLINE void store(const Accumulators<kRows, kVectors, false>& sum, const Panel& panel,
                               std::int64_t row, std::int64_t rows) {
    constexpr std::int64_t width = kVectors * lanes;
    const std::int64_t in = panel.extents.in;
    const std::int64_t columns = std::min(width, in - panel.column);
    float* const to = panel.dweight + row * in + panel.column;
    if (rows == kRows && columns == width) {
      sum.store(to, in);
      return;
    }
    HWY_ALIGN float tile[kRows * width];
    sum.store(tile, width);
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(tile + r * width, columns, to + r * in);
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
