// Both gradients behind a ReLU and a max-pool from the outputs that are alive: those that won their window
// and that the ReLU let through. Each adds to both one product by the definition, gradient times filter and
// gradient times patch. Where few are alive, these are fewer products than Winograd's, and nothing is
// transformed.
//
// Which are alive depends on the numbers, so they are listed: by output channel for the weight gradient, by
// cell of the convolution's output for the data gradient. A row of taps over all input channels, a run, is
// contiguous in a channels-last sample, and is kept so in the filters. It lies in registers, as a sum, while
// what is in a list passes by: patches of one channel, or filters that meet in one cell, or where that is
// possible in each cell of a row (sliding_run-inl.h).
//
// Samples are read, and their gradients made, as planes with the padding around them. As many go at a time as
// the first-level cache holds; where it does not hold one, its windows go strip by strip.
#if defined(LOCKSTEP_FUSED_ALIVE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_ALIVE_INL_H_
#undef LOCKSTEP_FUSED_ALIVE_INL_H_
#else
#define LOCKSTEP_FUSED_ALIVE_INL_H_
#endif

#include <algorithm>
#include <bit>

#include "device/cpu/fused/padded_planes-inl.h"
#include "device/cpu/fused/rows-inl.h"
#include "device/cpu/fused/run_part-inl.h"
#include "device/cpu/fused/scratch.h"
#include "device/cpu/fused/sliding_run-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

class AliveGradients {
  using Planes = PaddedPlanes;

 public:
  /// By extents. The filters are read for each strip, from the second-level cache; and short runs are not
  /// worth their lists.
  static bool suits(const Problem& problem) {
    constexpr std::int64_t most_weights = std::int64_t{64} * 1024, least_run = 40;
    constexpr std::int64_t most_floats = std::int64_t{1} << 31U;  // of planes, whose places are 32 bits
    const std::int64_t run = run_numbers(problem);
    return problem.relu && problem.pool && run >= least_run &&
           run * problem.kernel * problem.out_channels <= most_weights &&
           Planes::plane_height(problem) * Planes::plane_width(problem) * problem.in_channels < most_floats;
  }

  /// Of pack(), on a cache line.
  static std::int64_t packed_floats(const Problem& problem) { return filter_floats(problem) + flag_floats; }
  /// The filters, from OIHW.
  static void pack(const Problem& problem, const float* weights, float* packed) {
    clear(packed, packed_floats(problem));
    for_each_tap_row(problem, [&](std::int64_t place) {
      for (std::int64_t j = 0; j < problem.kernel; ++j) packed[place + j * problem.in_channels] = *weights++;
    });
    packed[filter_floats(problem)] = all_finite(packed, filter_floats(problem)) ? 1 : 0;
  }

  /// Floats that backward() works in.
  static std::int64_t workspace_floats(const Problem& problem) { return scratch_floats<Workspace>(problem); }

  /// Whether it takes less time than Winograd's kernels, which few outputs make sure of, and gives infinity
  /// and NaN to all whom the definition does: zero times infinity is NaN. By the shard's numbers alone.
  /// `packed` is null where no data gradient is asked for.
  static bool pays(const Problem& problem, const Layout& layout, const Backward& pass, const float* packed) {
    const std::int64_t windows = problem.all_window_rows() * problem.window_columns();
    std::int64_t alive = 0;
    for (std::int64_t window = 0; window < windows; ++window) {
      const std::uint8_t* const record = pass.record + window * layout.out_stride;
      std::uint32_t of_window = 0;
      for (std::int64_t out = 0; out < problem.out_channels; ++out) of_window += record[out] < 4 ? 1U : 0U;
      alive += of_window;
    }
    if (2 * alive > windows * problem.out_channels) return false;
    if (packed != nullptr && packed[filter_floats(problem)] == 0) return false;
    return all_finite(pass.x, problem.samples * Planes::sample_floats(problem));
  }

  static void backward(const Problem& problem, const Layout& layout, const Backward& pass,
                       const float* packed) {
    Scratch scratch(pass.workspace);
    Workspace work(problem, scratch);
    clear(work.sums, filter_floats(problem));
    if (pass.dbias != nullptr) clear(pass.dbias, problem.out_channels);
    for (std::int64_t first = 0; first < problem.samples; first += work.samples) {
      const std::int64_t end = std::min(first + work.samples, problem.samples);
      take_planes(problem, pass, {first, end}, work);
      for (std::int64_t row = 0; row < problem.window_rows(); row += work.strip_rows) {
        std::fill_n(work.counts, problem.out_channels, 0);
        for (std::int64_t sample = first; sample < end; ++sample) {
          const Range rows{row, std::min(row + work.strip_rows, problem.window_rows())};
          const std::int64_t plane = (sample - first) * work.plane_floats;
          list(problem, layout, pass, sample, rows, plane, work);
          if (pass.dx != nullptr) add_filters(problem, packed, plane, rows, work);
        }
        add_patches(problem, work);
      }
      if (pass.dx != nullptr) give_planes(problem, pass, {first, end}, work);
    }
    unpack(problem, work.sums, pass.dweight);
  }

 private:
  static constexpr std::int64_t flag_floats = 16;
  static constexpr std::int64_t chunk_channels = 64;  ///< of a window, that are listed at a time
  static std::int64_t chunks_of(const Problem& problem) {
    return (problem.out_channels + chunk_channels - 1) / chunk_channels;
  }

  /// Of a row of taps over all input channels.
  static std::int64_t run_numbers(const Problem& problem) { return problem.kernel * problem.in_channels; }
  /// With what fills its last vector.
  static std::int64_t padded_run(const Problem& problem) { return round_up(run_numbers(problem), lanes); }
  /// Filters are kept by row of taps, then by output channel: runs.
  static std::int64_t filter_floats(const Problem& problem) {
    return problem.kernel * problem.out_channels * padded_run(problem);
  }
  /// Calls f(place) for each row of taps of the weights in their order, OIHW: where its first tap is kept.
  /// The next one's is in_channels behind it.
  template <class F>
  static HWY_INLINE void for_each_tap_row(const Problem& problem, F f) {
    const std::int64_t run = padded_run(problem);
    for (std::int64_t out = 0; out < problem.out_channels; ++out)
      for (std::int64_t in = 0; in < problem.in_channels; ++in)
        for (std::int64_t i = 0; i < problem.kernel; ++i) f((i * problem.out_channels + out) * run + in);
  }

  /// The parts of the workspace, and how the shard is cut.
  struct Workspace {
    bool in_place;              ///< samples serve as planes where they are
    std::int64_t plane_floats;  ///< of a sample, and what runs read behind it
    std::int64_t samples;       ///< at a time
    std::int64_t strip_rows;    ///< of windows, in each of them
    std::int64_t capacity;      ///< windows at a time
    float *sums, *x_copies, *dx_copies, *staging;
    const float* x = nullptr;  ///< the planes in hand
    float* dx = nullptr;       ///< those of its gradient
    /// By output channel: how many patches, where in the planes they begin, and times what they count.
    std::int32_t *counts, *patches;
    float* patch_factors;
    /// Of a sample's strip, chunk by chunk of its channels, row by row of the convolution's output: which
    /// filters meet in a cell.
    RowOfCells::Cell* cells;
    std::int32_t* filters;
    float* filter_factors;

    Workspace(const Problem& problem, Scratch& scratch) {
      constexpr std::int64_t fitting = std::int64_t{7} * 1024;  // floats, in the first-level cache
      const std::int64_t row = Planes::plane_width(problem) * problem.in_channels;
      in_place = are_planes(problem);
      plane_floats = in_place ? Planes::sample_floats(problem)
                              : round_up(Planes::plane_height(problem) * row + Planes::overhang, 16);
      // Strips show in the order of dx's sums, so they must not depend on lanes, as plane_floats does.
      // Samples at a time do not show: there are several only where each is one strip.
      const std::int64_t rows_fitting = (fitting / row - problem.kernel + 1) / 2;
      strip_rows = std::clamp<std::int64_t>(rows_fitting, 1, problem.window_rows());
      samples = strip_rows < problem.window_rows()
                    ? 1
                    : std::clamp<std::int64_t>(fitting / plane_floats, 1, problem.samples);
      capacity = samples * strip_rows * problem.window_columns();
      const std::int64_t windows = strip_rows * problem.window_columns();
      const std::int64_t channels = problem.out_channels;
      sums = scratch.take<float>(filter_floats(problem));
      const std::int64_t copied = in_place ? 0 : samples * plane_floats;
      x_copies = scratch.take<float>(copied);
      dx_copies = scratch.take<float>(copied);
      staging = scratch.take<float>(staging_of(problem));
      counts = scratch.take<std::int32_t>(channels);
      patches = scratch.take<std::int32_t>(channels * capacity);
      patch_factors = scratch.take<float>(channels * capacity);
      cells = scratch.take<RowOfCells::Cell>(chunks_of(problem) * 4 * windows);
      filters = scratch.take<std::int32_t>(channels * windows);
      filter_factors = scratch.take<float>(channels * windows);
    }
  };

  /// Whether nothing around samples is read or written.
  static bool are_planes(const Problem& problem) {
    return Planes::plane_height(problem) == problem.in_height &&
           Planes::plane_width(problem) == problem.in_width && problem.pad_top == 0 &&
           problem.pad_left == 0 && run_parts_fit(run_numbers(problem));
  }
  /// Gets the planes of these samples, and those of their gradients, with zeros.
  static void take_planes(const Problem& problem, const Backward& pass, Range samples, Workspace& work) {
    const std::int64_t floats = Planes::sample_floats(problem);
    work.x = work.in_place ? pass.x + samples.begin * floats : work.x_copies;
    if (pass.dx != nullptr) work.dx = work.in_place ? pass.dx + samples.begin * floats : work.dx_copies;
    if (!work.in_place)
      for (std::int64_t sample = samples.begin; sample < samples.end; ++sample)
        Planes::copy_in(problem, pass.x + sample * floats,
                        work.x_copies + (sample - samples.begin) * work.plane_floats);
    if (pass.dx != nullptr) clear(work.dx, samples.size() * work.plane_floats);
  }
  /// Takes the gradients to where they belong.
  static void give_planes(const Problem& problem, const Backward& pass, Range samples,
                          const Workspace& work) {
    if (work.in_place) return;
    for (std::int64_t sample = samples.begin; sample < samples.end; ++sample)
      Planes::copy_out(problem, work.dx + (sample - samples.begin) * work.plane_floats,
                       pass.dx + sample * Planes::sample_floats(problem));
  }

  /// Lists what is alive in these window rows of a sample, whose plane begins `plane` floats behind the first
  /// one: appends to the channels' lists, and makes those of cells. Adds to the bias's gradient.
  static void list(const Problem& problem, const Layout& layout, const Backward& pass, std::int64_t sample,
                   Range rows, std::int64_t plane, Workspace& work) {
    const std::int64_t columns = 2 * problem.window_columns();
    std::int32_t listed = 0;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
      const auto outputs =
          source(problem, sample * problem.window_rows() + row, layout.out_stride, pass, work.staging);
      for (std::int64_t window = 0; window < problem.window_columns(); ++window) {
        const float* const gradients = outputs.y + window * problem.out_channels;
        const std::uint8_t* const winners = outputs.record + window * layout.out_stride;
        RowOfCells::Cell* cells = work.cells + 2 * (row - rows.begin) * columns + 2 * window;
        for (std::int64_t first = 0; first < problem.out_channels; first += chunk_channels) {
          std::uint64_t alive[4] = {};
          find_alive(problem, gradients, winners, first, pass.dbias, alive);
          for (std::int64_t cell = 0; cell < 4; ++cell) {
            const std::int64_t at =
                (2 * row + cell / 2) * Planes::plane_width(problem) + 2 * window + cell % 2;
            const auto patch = static_cast<std::int32_t>(plane + at * problem.in_channels);
            const std::int32_t begin = listed;
            for (std::uint64_t bits = alive[cell]; bits != 0; bits &= bits - 1) {
              const std::int64_t out = first + std::countr_zero(bits);
              const float gradient = gradients[out];
              work.filters[listed] = static_cast<std::int32_t>(out);
              work.filter_factors[listed++] = gradient;
              const std::int64_t next = out * work.capacity + work.counts[out]++;
              work.patches[next] = patch;
              work.patch_factors[next] = gradient;
            }
            cells[cell / 2 * columns + cell % 2] = {begin, listed};
          }
          cells += 2 * rows.size() * columns;
        }
      }
    }
  }

  /// Of a chunk of a window's channels, one bit each, by cell: whether it is alive there and its gradient is
  /// not zero. Adds these to the bias's.
  static HWY_INLINE void find_alive(const Problem& problem, const float* gradients,
                                    const std::uint8_t* winners, std::int64_t first, float* dbias,
                                    std::uint64_t* alive) {
    const auto bits_of = [](auto d, auto mask) {
      std::uint8_t bytes[8] = {};
      hn::StoreMaskBits(d, mask, bytes);
      return bytes[0] | std::uint64_t{bytes[1]} << 8U;
    };
    const std::int64_t channels = std::min(chunk_channels, problem.out_channels - first);
    for_each_vector(channels, [&](auto d, std::int64_t c, auto count) {
      const hn::RebindToSigned<decltype(d)> ints;
      const auto winner = load_record(d, winners + first + c);
      const auto dead = hn::RebindMask(d, hn::Eq(winner, hn::Set(ints, 4)));
      const auto gradient = hn::IfThenZeroElse(dead, load(d, gradients + first + c, count));
      if (dbias != nullptr) {
        float* const sum = dbias + first + c;
        store(d, hn::Add(load(d, sum, count), gradient), sum, count);
      }
      const auto flows = hn::Not(hn::Eq(gradient, hn::Zero(d)));
      for (int cell = 0; cell < 4; ++cell) {
        const auto wins = hn::RebindMask(d, hn::Eq(winner, hn::Set(ints, cell)));
        alive[cell] |= bits_of(d, hn::And(wins, flows)) << static_cast<unsigned>(c);
      }
    });
  }

  /// Adds factors times rows, of which `row_of` says where they begin, to a part of a run, whose last vector
  /// has `last` numbers.
  template <class Part, class RowOf>
  static HWY_INLINE void add(std::int32_t count, const float* HWY_RESTRICT factors, RowOf row_of,
                             std::int64_t last, float* HWY_RESTRICT to) {
    Part sum;
    sum.load_from(to, last);
    for (std::int32_t i = 0; i < count; ++i) sum.add_row(factors[i], row_of(i));
    sum.store_to(to, last);
  }

  /// Adds the filters of one cell. `rows`: a filter's row of taps, which is `stride` from the next filter's.
  template <class Part>
  static HWY_NOINLINE void add_to_cell(const RowOfCells& row, RowOfCells::Cell cell, const float* rows,
                                       std::int64_t stride, std::int64_t last, float* to) {
    const std::int32_t* const filters = row.filters + cell.begin;
    add<Part>(
        cell.end - cell.begin, row.factors + cell.begin,
        [&](std::int32_t i) { return rows + filters[i] * stride; }, last, to);
  }
  using AddToCell = void (*)(const RowOfCells& row, RowOfCells::Cell cell, const float* rows,
                             std::int64_t stride, std::int64_t last, float* to);

  /// Each cell of two rows by itself, in turn: what has just been stored is not loaded again at once.
  static void add_to_cells(const Problem& problem, RowOfCells row, const float* rows, float* to) {
    const std::int64_t run = padded_run(problem);
    const std::int64_t row_floats = Planes::plane_width(problem) * problem.in_channels;
    const std::int64_t numbers = run_numbers(problem);
    // All parts of a run but the last are as long as can be. Behind it nothing is written: there is more of
    // dx.
    const std::int64_t before = (numbers - 1) / most_of_run * most_of_run;
    const std::int64_t last = (numbers - 1) % lanes + 1;
    AddToCell add_last = nullptr;
    with_run_part<false>(numbers - before,
                         [&](auto part) { add_last = add_to_cell<typename decltype(part)::type>; });
    for (std::int64_t column = 0; column < row.count; ++column, to += problem.in_channels) {
      for (std::int64_t r = 0; r < 2; ++r) {
        const RowOfCells::Cell cell = row.cells[r * row.count + column];
        if (cell.begin == cell.end) continue;
        float* const sums = to + r * row_floats;
        for (std::int64_t n = 0; n < before; n += most_of_run)
          add_to_cell<LongestRunPart>(row, cell, rows + n, run, lanes, sums + n);
        add_last(row, cell, rows + before, run, last, sums + before);
      }
    }
  }

  /// Of a sample's strip. Each number of dx is a sum over strips, in these over chunks of channels, rows of
  /// taps, cells and channels, however runs are cut.
  static void add_filters(const Problem& problem, const float* packed, std::int64_t plane, Range rows,
                          const Workspace& work) {
    const std::int64_t run = padded_run(problem);
    const std::int64_t row_floats = Planes::plane_width(problem) * problem.in_channels;
    const AddRowOfCells slide =
        problem.kernel == 3 ? sliding_run_of<3>(problem.in_channels) : sliding_run_of<5>(problem.in_channels);
    const std::int64_t columns = 2 * problem.window_columns();
    for (std::int64_t chunk = 0; chunk < chunks_of(problem); ++chunk)
      for (std::int64_t i = 0; i < problem.kernel; ++i) {
        const float* const filters = packed + i * problem.out_channels * run;
        RowOfCells row{.cells = work.cells + chunk * 2 * rows.size() * columns,
                       .count = columns,
                       .filters = work.filters,
                       .factors = work.filter_factors};
        float* to = work.dx + plane + (2 * rows.begin + i) * row_floats;
        for (std::int64_t window_row = rows.begin; window_row < rows.end; ++window_row) {
          if (slide == nullptr) add_to_cells(problem, row, filters, to);
          for (std::int64_t r = 0; r < 2; ++r, row.cells += columns, to += row_floats)
            if (slide != nullptr) slide(row, filters, run, to);
        }
      }
  }

  /// Adds the strip's patches to the weight gradient.
  static void add_patches(const Problem& problem, const Workspace& work) {
    const std::int64_t run = padded_run(problem);
    const std::int64_t row_floats = Planes::plane_width(problem) * problem.in_channels;
    const std::int64_t numbers = run_numbers(problem);
    for (std::int64_t i = 0; i < problem.kernel; ++i)
      for (std::int64_t n = 0; n < numbers; n += most_of_run)
        with_run_part<true>(std::min(numbers - n, most_of_run), [&](auto part) {
          const float* const x = work.x + i * row_floats + n;
          float* to = work.sums + i * problem.out_channels * run + n;
          for (std::int64_t out = 0; out < problem.out_channels; ++out, to += run) {
            if (work.counts[out] == 0) continue;
            const std::int32_t* const patches = work.patches + out * work.capacity;
            add<typename decltype(part)::type>(
                work.counts[out], work.patch_factors + out * work.capacity,
                [&](std::int32_t k) { return x + patches[k]; }, lanes, to);
          }
        });
  }

  static void unpack(const Problem& problem, const float* sums, float* dweight) {
    for_each_tap_row(problem, [&](std::int64_t place) {
      for (std::int64_t j = 0; j < problem.kernel; ++j) *dweight++ = sums[place + j * problem.in_channels];
    });
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
