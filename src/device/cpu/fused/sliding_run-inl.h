// The data gradient of a row of cells (alive-inl.h) where channels fill whole vectors and a run fits into
// registers. From one cell to the next it slides by one pixel: what this leaves behind is stored, what it
// comes to is loaded, and all else stays where it is. Registers have numbers, so they cannot slide: the sum
// at a pixel stays in its register, which is taken for a new pixel when that one is left behind, so there is
// code for each of kKernel phases.
#if defined(LOCKSTEP_FUSED_SLIDING_RUN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_SLIDING_RUN_INL_H_
#undef LOCKSTEP_FUSED_SLIDING_RUN_INL_H_
#else
#define LOCKSTEP_FUSED_SLIDING_RUN_INL_H_
#endif

#include <utility>

#include "device/cpu/fused/run_part-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Cells beside each other, and the filters that meet in each of them.
struct RowOfCells {
  /// Those of a cell: a range of `filters`.
  struct Cell {
    std::int32_t begin, end;
  };
  const Cell* cells;
  std::int64_t count;           ///< of cells
  const std::int32_t* filters;  ///< output channels
  const float* factors;         ///< for each of them
};

/// Of kKernel pixels with kVectors vectors of channels each.
template <int kKernel, int kVectors>
class SlidingRun {
 public:
  /// Adds the filters' rows, `stride` from one to the next, to the row of dx's plane that begins at `to`.
  static HWY_NOINLINE void add(const RowOfCells& row, const float* rows, std::int64_t stride, float* to) {
    SlidingRun run(row, rows, stride, to);
    run.slide(std::make_integer_sequence<int, kKernel>());
  }

 private:
  static constexpr int vectors = kKernel * kVectors;
  static constexpr std::int64_t pixel = kVectors * lanes;

  HWY_INLINE SlidingRun(const RowOfCells& row, const float* rows, std::int64_t stride, float* to)
      : cell_(row.cells),
        end_(row.cells + row.count),
        filters_(row.filters),
        factors_(row.factors),
        rows_(rows),
        stride_(stride),
        to_(to) {
    LOCKSTEP_UNROLL
    for (int n = 0; n < vectors; ++n) sum_[n] = hn::LoadU(Full(), to_ + n * lanes);
  }

  template <int... kPhases>
  HWY_INLINE void slide(std::integer_sequence<int, kPhases...> /*phases*/) {
    while ((add_cell<kPhases>() && ...)) {
    }
  }

  /// The register of the run's vector n.
  template <int kPhase>
  HWY_INLINE Vector<Full>& sum(int n) {
    return sum_[(kPhase * kVectors + n) % vectors];
  }

  /// Returns whether there is another one.
  template <int kPhase>
  HWY_INLINE bool add_cell() {
    for (std::int32_t i = cell_->begin; i < cell_->end; ++i) {
      const float* row = rows_ + filters_[i] * stride_;
      const Vector<Full> factor = hn::Set(Full(), factors_[i]);
      __asm__("" : "+r"(row));  // as in RowBlock
      LOCKSTEP_UNROLL
      for (int n = 0; n < vectors; ++n)
        sum<kPhase>(n) = fma(Full(), factor, hn::LoadU(Full(), row + n * lanes), sum<kPhase>(n));
    }
    if (++cell_ == end_) {
      LOCKSTEP_UNROLL
      for (int n = 0; n < vectors; ++n) hn::StoreU(sum<kPhase>(n), Full(), to_ + n * lanes);
      return false;
    }
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n) {
      hn::StoreU(sum<kPhase>(n), Full(), to_ + n * lanes);
      sum<kPhase>(n) = hn::LoadU(Full(), to_ + (vectors + n) * lanes);
    }
    to_ += pixel;
    return true;
  }

  const RowOfCells::Cell *cell_, *end_;
  const std::int32_t* filters_;
  const float *factors_, *rows_;
  std::int64_t stride_;
  float* to_;
  Vector<Full> sum_[vectors];
};

using AddRowOfCells = void (*)(const RowOfCells& row, const float* rows, std::int64_t stride, float* to);

/// For kernels of that size; null where channels do not fill vectors, or a run has more than most_of_run
/// numbers.
template <int kKernel>
AddRowOfCells sliding_run_of(std::int64_t channels) {
  AddRowOfCells add = nullptr;
  if constexpr (lanes == 1) return add;  // where no run is so short
  if (channels % lanes == 0)
    with_vectors<most_vectors_of_run / kKernel>(channels / lanes,
                                                [&](auto n) { add = SlidingRun<kKernel, n>::add; });
  return add;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
