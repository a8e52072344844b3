// The weight gradient of a dense layer, dW = dyᵀ x, of many shards at once.
//
// Each shard's own gradient would be as large as the weights, written to memory and read again to be added
// up. Here a tile of dW stays in the second-level cache from the first shard to the last: for each shard one
// chain of fused multiply-adds over those of its samples whose dy is not zero (sparse-inl.h), then the
// additions of the tree that have become possible, like the carries of a binary counter. What a shard keeps
// for that is small.
//
// Kept floats: x in panels of a few vectors of columns; dy in groups of a tile's rows; each sample by sample,
// so that a tile reads both from one end to the other. Then, for each 32 samples, a word for each row: the
// bits of the samples that count. Columns and rows at the end are padded with zeros.
#if defined(LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#undef LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#else
#define LOCKSTEP_FUSED_DENSE_GRADIENT_INL_H_
#endif

#include <algorithm>
#include <bit>
#include <span>

#include "device/cpu/fused/kernels.h"
#include "device/cpu/fused/sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class DenseGradients {
 public:
  static DenseGradient method() {
    return {.kept_floats = kept_floats, .keep = keep, .pieces = pieces, .add_up = add_up};
  }

 private:
  // Each tile reads x again: the more rows, the fewer reads, and the more room its sums take.
  static constexpr std::int64_t tile_rows = 32;
  static constexpr std::int64_t word_bits = 32;
  static constexpr std::int64_t rows_of_a_piece = 64;  // so that threads find enough pieces
  static_assert(tile_rows % lanes == 0 && rows_of_a_piece % tile_rows == 0);
  static constexpr int levels = std::countr_zero(most_joint_shards);  // of the tree, below its root

  /// Where a shard keeps what.
  struct Kept {
    std::int64_t samples;
    std::int64_t columns, rows;  ///< padded
    Kept(const DenseExtents& extents, std::int64_t samples)
        : samples(samples), columns(round_up(extents.in, lanes)), rows(round_up(extents.out, tile_rows)) {}
    [[nodiscard]] std::int64_t dy() const { return columns * samples; }
    [[nodiscard]] std::int64_t words() const { return (columns + rows) * samples; }
    [[nodiscard]] std::int64_t words_of_a_row() const { return (samples + word_bits - 1) / word_bits; }
  };

  /// There are no more words than samples.
  static std::int64_t kept_floats(const DenseExtents& extents) {
    const Kept one(extents, 1);
    return one.columns + 2 * one.rows;
  }

  static void keep(const DenseExtents& extents, std::int64_t samples, const float* x, const float* dy,
                   float* to) {
    const Kept kept(extents, samples);
    const Panels panels(extents.in);
    for (std::int64_t panel = 0; panel < panels.count(); ++panel) {
      const Range columns = panels.columns(panel);
      for (std::int64_t s = 0; s < samples; ++s, to += columns.size())
        copy_padded(x + s * extents.in + columns.begin, extents.in - columns.begin, columns.size(), to);
    }
    float* const words = to + kept.rows * samples;
    for (std::int64_t row = 0; row < extents.out; row += tile_rows) {
      for (std::int64_t s = 0; s < samples; ++s, to += tile_rows) {
        copy_padded(dy + s * extents.out + row, extents.out - row, tile_rows, to);
        set_nonzero_bits(to, s % word_bits, words + s / word_bits * kept.rows + row);
      }
    }
    for (std::int64_t s = 0; s < samples; ++s)
      if (!all_finite(x + s * extents.in, extents.in)) set_all_bits(kept.rows, s, words);
  }

  /// The first `width` of `count` numbers, or all and zeros.
  static void copy_padded(const float* HWY_RESTRICT from, std::int64_t count, std::int64_t width,
                          float* HWY_RESTRICT to) {
    std::int64_t i = 0;
    for (; i < std::min(count, width); i += lanes)
      hn::StoreU(load(Full(), from + i, count - i), Full(), to + i);
    clear(to + i, width - i);
  }

  using Words = hn::RebindToUnsigned<Full>;

  /// Sets a bit in the words of those of a group's rows that are not zero; the first bit begins the words.
  static void set_nonzero_bits(const float* rows, std::int64_t bit, float* words) {
    const auto set = hn::BitCast(Full(), hn::Set(Words(), std::uint32_t{1} << static_cast<unsigned>(bit)));
    for (std::int64_t i = 0; i < tile_rows; i += lanes) {
      const auto before = bit == 0 ? hn::Zero(Full()) : hn::LoadU(Full(), words + i);
      const auto counts = is_not_zero(hn::LoadU(Full(), rows + i));
      hn::StoreU(hn::Or(before, hn::IfThenElseZero(counts, set)), Full(), words + i);
    }
  }
  static void set_all_bits(std::int64_t rows, std::int64_t sample, float* words) {
    float* const word = words + sample / word_bits * rows;
    for (std::int64_t row = 0; row < rows; ++row)
      word[row] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(word[row]) |
                                       std::uint32_t{1} << static_cast<unsigned>(sample % word_bits));
  }

  static std::int64_t pieces(const DenseExtents& extents) {
    return Panels(extents.in).count() * ((extents.out + rows_of_a_piece - 1) / rows_of_a_piece);
  }

  static void add_up(const DenseExtents& extents, std::int64_t before, std::int64_t piece,
                     std::span<const KeptShard> shards, float* dweight) {
    const Panels panels(extents.in);
    const std::int64_t panel = piece % panels.count();
    const std::int64_t first_row = piece / panels.count() * rows_of_a_piece;
    const Range rows{first_row, std::min(first_row + rows_of_a_piece, extents.out)};
    const PanelOfGradient part{extents, before, panels.columns(panel), panels.last_lanes(panel),
                               shards,  dweight};
    with_vectors(part.columns.size() / lanes, [&](auto vectors) {
      for (std::int64_t row = rows.begin; row < rows.end; row += tile_rows)
        add_up_tile<vectors>(part, {row, std::min(row + tile_rows, rows.end)});
    });
  }

  struct PanelOfGradient {
    const DenseExtents& extents;
    std::int64_t before;  ///< floats a sample that other layers keep before these
    Range columns;
    std::int64_t last_lanes;
    std::span<const KeptShard> shards;
    float* dweight;
  };

  template <int kVectors>
  static HWY_NOINLINE void add_up_tile(const PanelOfGradient& part, Range rows) {
    constexpr std::int64_t width = kVectors * lanes;
    // Sums that wait for their right sibling, by level: 192 KiB at most, of which a tree of eight shards
    // touches 48.
    HWY_ALIGN float left[levels][tile_rows * width];
    for (std::size_t i = 0; i < part.shards.size(); ++i) {
      const KeptShard& shard = part.shards[i];
      const Kept kept(part.extents, shard.samples);
      const float* const own = shard.data + part.before * shard.samples;
      const float* const x = own + part.columns.begin * shard.samples;
      const float* const dy = own + kept.dy() + rows.begin * shard.samples;
      const float* const words = own + kept.words() + rows.begin;
      for (std::int64_t r = 0; r < rows.size(); ++r) {
        RowBlock<kVectors> sum;
        sum.clear();
        for (std::int64_t word = 0; word < kept.words_of_a_row(); ++word)
          sum.add_rows(std::bit_cast<std::uint32_t>(words[word * kept.rows + r]),
                       dy + word * word_bits * tile_rows + r, tile_rows, x + word * word_bits * width);
        int level = 0;
        for (; (i >> level & 1U) != 0; ++level) sum.add_left(left[level] + r * width);
        if (i + 1 < part.shards.size())
          sum.store_to(left[level] + r * width, lanes);
        else
          sum.store_to(part.dweight + (rows.begin + r) * part.extents.in + part.columns.begin,
                       part.last_lanes);
      }
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
