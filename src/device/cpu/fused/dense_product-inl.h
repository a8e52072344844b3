// The products of a dense layer with its weights: y = x Wᵀ + b, perhaps with the ReLU behind it, and dx = dy
// W.
//
// Both leave out zeros of x and dy (sparse-inl.h). A block of the right factor, some rows of a panel of
// columns, stays in the first-level cache while samples pass by, those of several shards if there are. Wᵀ is
// packed in such blocks once a step. Blocks of W are copied as they are needed: in the slab their rows may
// displace one another. Each call reads all of the factor, of which the one before has left little in the
// second-level cache if it is large: then the next block is fetched while one is in use. An output is one
// chain, of y from the bias on. At the end -0 becomes +0, as otherwise the blocks, in which zeros are left
// out or not, might show in the sign.
#if defined(LOCKSTEP_FUSED_DENSE_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_DENSE_PRODUCT_INL_H_
#undef LOCKSTEP_FUSED_DENSE_PRODUCT_INL_H_
#else
#define LOCKSTEP_FUSED_DENSE_PRODUCT_INL_H_
#endif

#include <algorithm>

#include "device/cpu/fused/kernels.h"
#include "device/cpu/fused/sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class DenseProducts {
 public:
  static DenseProduct method() {
    return {.packed_floats = packed_floats,
            .packing_pieces = packing_pieces,
            .pack = pack,
            .packed_rows = packed_rows,
            .forward = forward,
            .data_gradient = data_gradient};
  }

 private:
  /// Rows of a block: with a panel's columns 24 KiB at most, of a first-level cache of 32 and more.
  static constexpr std::int64_t depth = std::min<std::int64_t>(64, 6144 / (most_vectors * lanes));

  /// Blocks of a panel that are packed at a time, so that threads find enough pieces.
  static constexpr std::int64_t blocks_of_a_piece = 4;

  // Wᵀ packed: the panels one behind the other, in each all rows; then for each block of each panel a flag: 1
  // if it is finite, else 0.
  static std::int64_t blocks(const DenseExtents& extents) { return (extents.in + depth - 1) / depth; }
  static std::int64_t flags(const DenseExtents& extents) { return round_up(extents.out, lanes) * extents.in; }
  static std::int64_t packed_floats(const DenseExtents& extents) {
    return flags(extents) + Panels(extents.out).count() * blocks(extents);
  }
  static std::int64_t pieces_of_a_panel(const DenseExtents& extents) {
    return (blocks(extents) + blocks_of_a_piece - 1) / blocks_of_a_piece;
  }
  static std::int64_t packing_pieces(const DenseExtents& extents) {
    return Panels(extents.out).count() * pieces_of_a_panel(extents);
  }

  static std::int64_t panel_of(const DenseExtents& extents, std::int64_t piece) {
    return piece / pieces_of_a_panel(extents);
  }

  /// W's rows are Wᵀ's columns.
  static Range packed_rows(const DenseExtents& extents, std::int64_t piece) {
    const Range columns = Panels(extents.out).columns(panel_of(extents, piece));
    return {columns.begin, std::min(columns.end, extents.out)};
  }

  static void pack(const DenseExtents& extents, std::int64_t piece, const float* weights, float* packed) {
    const std::int64_t panel = panel_of(extents, piece);
    const Range columns = Panels(extents.out).columns(panel);
    float* const panel_flags = packed + flags(extents) + panel * blocks(extents);
    const std::int64_t first = piece % pieces_of_a_panel(extents) * blocks_of_a_piece;
    for (std::int64_t block = first; block < std::min(first + blocks_of_a_piece, blocks(extents)); ++block) {
      const Range rows{block * depth, std::min((block + 1) * depth, extents.in)};
      float* const to = packed + columns.begin * extents.in + rows.begin * columns.size();
      panel_flags[block] = transpose(weights, extents, columns, rows, to) ? 1 : 0;
    }
  }

  /// A block of W, `stride` from row to row, of whose last vector `last` lanes are columns. Returns whether
  /// it is finite.
  template <int kVectors>
  static HWY_NOINLINE bool copy(const float* HWY_RESTRICT from, std::int64_t stride, std::int64_t rows,
                                std::int64_t last, float* HWY_RESTRICT to) {
    FiniteCheck check;
    for (std::int64_t r = 0; r < rows; ++r, from += stride, to += kVectors * lanes) {
      RowBlock<kVectors> row;
      row.load_from(from, last);
      row.store_to(to, lanes);
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n) check.add(n, row.sum[n]);
    }
    return check.all_finite();
  }

  /// A block of Wᵀ, columns of which are rows of W. Returns whether it is finite.
  static HWY_NOINLINE bool transpose(const float* HWY_RESTRICT weights, const DenseExtents& extents,
                                     Range columns, Range rows, float* HWY_RESTRICT to) {
    constexpr std::int64_t strip = 16;  // rows at a time: a cache line of W
    HWY_ALIGN float quadruples[strip * most_vectors * lanes];
    const std::int64_t width = columns.size();
    FiniteCheck check;
    for (std::int64_t row = rows.begin; row < rows.end; row += strip) {
      const std::int64_t count = std::min(strip, rows.end - row);
      for (std::int64_t c = 0; c < width; ++c) {
        const std::int64_t column = columns.begin + c;
        const bool exists = column < extents.out;
        // The next strip's lines, one of each row of W: too far apart for the processor to see it coming.
        if (exists) __builtin_prefetch(weights + column * extents.in + std::min(row + strip, extents.in - 1));
        copy_quadruples<strip>(exists ? weights + column * extents.in + row : weights, exists ? count : 0,
                               quadruples + 4 * c, 4 * width);
      }
      for (std::int64_t i = 0; i < count; i += 4)
        for (std::int64_t c = 0; c < width; c += lanes) {
          Vector<Full> four[4];
          hn::LoadInterleaved4(Full(), quadruples + i * width + 4 * c, four[0], four[1], four[2], four[3]);
          LOCKSTEP_UNROLL
          for (int j = 0; j < 4; ++j) {
            check.add(j, four[j]);
            if (i + j < count) hn::StoreU(four[j], Full(), to + (row - rows.begin + i + j) * width + c);
          }
        }
    }
    return check.all_finite();
  }

  /// kStrip numbers, of which `count` are there and the others zero, as quadruples `stride` apart.
  template <std::int64_t kStrip>
  static HWY_INLINE void copy_quadruples(const float* HWY_RESTRICT from, std::int64_t count,
                                         float* HWY_RESTRICT to, std::int64_t stride) {
    for (std::int64_t i = 0; i < kStrip; i += 4, to += stride) {
      if (count == kStrip)
        std::memcpy(to, from + i, 4 * sizeof(float));
      else
        for (std::int64_t j = 0; j < 4; ++j) to[j] = i + j < count ? from[i + j] : 0;
    }
  }

  static void forward(const DenseExtents& extents, std::int64_t samples, const DensePass& pass) {
    const Product product{.shards = pass.shards,
                          .samples = samples,
                          .steps = extents.in,
                          .columns = extents.out,
                          .bias = pass.bias,
                          .relu = pass.relu};
    const auto place_of = [&](Range columns, Range rows) {
      return Place{.data = pass.weights + columns.begin * extents.in + rows.begin * columns.size(),
                   .stride = columns.size()};
    };
    multiply(product, place_of, [&](auto /*vectors*/, std::int64_t panel, Range rows, const Place& place) {
      const float flag = pass.weights[flags(extents) + panel * blocks(extents) + rows.begin / depth];
      return Block{.data = place.data, .finite = flag != 0};
    });
  }

  static void data_gradient(const DenseExtents& extents, std::int64_t samples,
                            std::span<const DenseShard> shards, const float* weights) {
    HWY_ALIGN float block[depth * most_vectors * lanes];
    const Product product{.shards = shards,
                          .samples = samples,
                          .steps = extents.out,
                          .columns = extents.in,
                          .bias = nullptr,
                          .relu = false};
    const Panels panels(extents.in);
    const auto place_of = [&](Range columns, Range rows) {
      return Place{.data = weights + rows.begin * extents.in + columns.begin, .stride = extents.in};
    };
    multiply(product, place_of, [&](auto vectors, std::int64_t panel, Range rows, const Place& place) {
      const bool finite =
          copy<vectors>(place.data, place.stride, rows.size(), panels.last_lanes(panel), block);
      return Block{.data = block, .finite = finite};
    });
  }

  /// C = A B, of which each shard has some rows.
  struct Product {
    std::span<const DenseShard> shards;
    std::int64_t samples;  ///< rows of each
    std::int64_t steps, columns;
    const float* bias;  ///< null for none
    bool relu;

    [[nodiscard]] std::int64_t rows() const { return std::ssize(shards) * samples; }
    /// Of A and of C, counted through all shards.
    [[nodiscard]] DenseShard row(std::int64_t index) const {
      const DenseShard& shard = shards[static_cast<std::size_t>(index / samples)];
      return {.from = shard.from + index % samples * steps, .to = shard.to + index % samples * columns};
    }
  };
  struct Sample {
    DenseShard row;         ///< of A, and of C
    std::uint64_t nonzero;  ///< which of its numbers for the steps in hand are
  };
  /// Where some rows of a panel of B lie in memory.
  struct Place {
    const float* data;
    std::int64_t stride;
  };
  /// Such rows without gaps, and whether they are finite.
  struct Block {
    const float* data;
    bool finite;
  };
  /// The block after the one in use; without rows where there is nothing to fetch.
  struct Ahead {
    Place place{.data = nullptr, .stride = 0};
    std::int64_t rows = 0;
    std::int64_t rows_each = 0;  ///< to fetch with each sample that passes by the block in use

    /// Asks for a sample's share of the rows, each as wide as the block in use. If the next panel has a
    /// vector less, another panel follows it, so this stays within B; if it has one more, a line of each row
    /// is left out. For the second-level cache, as the first is full of the block in use.
    template <std::int64_t width>
    HWY_INLINE void fetch(std::int64_t sample) const {
      constexpr std::int64_t line = 16;  // floats of a cache line
      const std::int64_t end = std::min((sample + 1) * rows_each, rows);
      for (std::int64_t row = sample * rows_each; row < end; ++row) {
        LOCKSTEP_UNROLL
        for (std::int64_t c = 0; c < width; c += line)
          __builtin_prefetch(place.data + row * place.stride + c, 0, 2);
      }
    }
  };

  /// Fetching takes loads from the products, and asks for rows, too, that no sample needs. So B must be
  /// larger than the second-level cache, and the fewer the samples the larger.
  static bool is_worth_fetching(const Product& product) {
    constexpr std::int64_t enough_samples = 16;
    constexpr std::int64_t least = enough_samples * 256 * 1024;
    return std::min(product.rows(), enough_samples) * product.steps * product.columns > least;
  }

  /// place_of(columns, rows) is where a block of B lies; find_block is called with the vectors of a panel,
  /// its number, rows and their place, and gives the block.
  template <class P, class F>
  static void multiply(const Product& product, P place_of, F find_block) {
    Sample samples[dense_rows];
    const Panels panels(product.columns);
    const auto steps_from = [&](std::int64_t first) {
      return Range{first, std::min(first + depth, product.steps)};
    };
    const bool fetches = is_worth_fetching(product);
    const auto ahead = [&](std::int64_t panel, Range steps, std::int64_t count) {
      if (!fetches) return Ahead{};
      if (panel == panels.count()) {
        if (steps.end == product.steps) return Ahead{};
        panel = 0;
        steps = steps_from(steps.end);
      }
      return Ahead{.place = place_of(panels.columns(panel), steps),
                   .rows = steps.size(),
                   .rows_each = (steps.size() + count - 1) / count};
    };
    for (std::int64_t first = 0; first < product.rows(); first += dense_rows) {
      const std::int64_t count = std::min(dense_rows, product.rows() - first);
      for (std::int64_t s = 0; s < count; ++s) samples[s].row = product.row(first + s);
      for (std::int64_t step = 0; step < product.steps; step += depth) {
        const Range steps = steps_from(step);
        for (std::int64_t s = 0; s < count; ++s)
          samples[s].nonzero = nonzero_mask(samples[s].row.from + step, steps.size());
        for (std::int64_t panel = 0; panel < panels.count(); ++panel) {
          const Range columns = panels.columns(panel);
          with_vectors(columns.size() / lanes, [&](auto vectors) {
            const Block block = find_block(vectors, panel, steps, place_of(columns, steps));
            add_block<vectors>(product, std::span(samples, static_cast<std::size_t>(count)), steps,
                               columns.begin, panels.last_lanes(panel), block,
                               ahead(panel + 1, steps, count));
          });
        }
      }
    }
  }

  template <int kVectors>
  static HWY_NOINLINE void add_block(const Product& product, std::span<const Sample> samples, Range steps,
                                     std::int64_t column, std::int64_t last, const Block& block,
                                     const Ahead& ahead) {
    const std::uint64_t all = ~std::uint64_t{0} >> static_cast<unsigned>(64 - steps.size());
    const bool begins = steps.begin == 0;
    const bool ends = steps.end == product.steps;
    std::int64_t index = 0;
    for (const Sample& sample : samples) {
      ahead.template fetch<kVectors * lanes>(index++);
      float* const c = sample.row.to + column;
      RowBlock<kVectors> sum;
      if (!begins)
        sum.load_from(c, last);
      else if (product.bias != nullptr)
        sum.load_from(product.bias + column, last);
      else
        sum.clear();
      sum.add_rows(block.finite ? sample.nonzero : all, sample.row.from + steps.begin, 1, block.data);
      if (ends) sum.add_zero();
      if (ends && product.relu) sum.relu();
      sum.store_to(c, last);
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
