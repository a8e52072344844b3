// Small matrix products, C = A B or C += A B, with columns in lanes.
//
// A block of C lies in registers while k runs: in each step a few vectors of B's row k, and one broadcast
// number of A for each row. Every element of C is one chain of fused multiply-adds in the order of k,
// whatever the blocks, so neither their size nor the target shows in its bits.
#if defined(LOCKSTEP_FUSED_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_PRODUCT_INL_H_
#undef LOCKSTEP_FUSED_PRODUCT_INL_H_
#else
#define LOCKSTEP_FUSED_PRODUCT_INL_H_
#endif

#include "device/cpu/fused/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// The block of C: some rows of some vectors, and perhaps a half vector at their end.
template <int kRows, int kVectors, bool kHalf>
struct Accumulators {
  Vector<Full> full[kRows][kVectors > 0 ? kVectors : 1];
  Vector<Half> half[kRows];

  HWY_INLINE void clear() {
    LOCKSTEP_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n) full[r][n] = hn::Zero(Full());
      if constexpr (kHalf) half[r] = hn::Zero(Half());
    }
  }
  HWY_INLINE void load(const float* HWY_RESTRICT c, std::int64_t stride) {
    LOCKSTEP_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n) full[r][n] = hn::LoadU(Full(), c + r * stride + n * lanes);
      if constexpr (kHalf) half[r] = hn::LoadU(Half(), c + r * stride + kVectors * lanes);
    }
  }
  HWY_INLINE void store(float* HWY_RESTRICT c, std::int64_t stride) const {
    LOCKSTEP_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n) hn::StoreU(full[r][n], Full(), c + r * stride + n * lanes);
      if constexpr (kHalf) hn::StoreU(half[r], Half(), c + r * stride + kVectors * lanes);
    }
  }
  /// The sum of the block at `c`, on the left, and this one.
  HWY_INLINE void add_left(const float* HWY_RESTRICT c, std::int64_t stride) {
    LOCKSTEP_UNROLL
    for (int r = 0; r < kRows; ++r) {
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n)
        full[r][n] = hn::Add(hn::LoadU(Full(), c + r * stride + n * lanes), full[r][n]);
      if constexpr (kHalf) half[r] = hn::Add(hn::LoadU(Half(), c + r * stride + kVectors * lanes), half[r]);
    }
  }
  /// Adds a(row) times the row of B at `b`.
  template <class A>
  HWY_INLINE void add(const A& a, const float* HWY_RESTRICT b) {
    Vector<Full> row[kVectors > 0 ? kVectors : 1];
    LOCKSTEP_UNROLL
    for (int n = 0; n < kVectors; ++n) row[n] = hn::LoadU(Full(), b + n * lanes);
    LOCKSTEP_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float factor = a(r);
      LOCKSTEP_UNROLL
      for (int n = 0; n < kVectors; ++n)
        full[r][n] = fma(Full(), hn::Set(Full(), factor), row[n], full[r][n]);
      if constexpr (kHalf)
        half[r] = fma(Half(), hn::Set(Half(), factor), hn::LoadU(Half(), b + kVectors * lanes), half[r]);
    }
  }
};

/// A's number for row r and step k lies at data[r * row + k * step].
struct Left {
  const float* data;
  std::int64_t row, step;
};
/// Rows `stride` apart.
struct Right {
  const float* data;
  std::int64_t stride;
};
struct Result {
  float* data;
  std::int64_t stride;
  bool add;  ///< to what is there
};

template <int kRows, int kVectors, bool kHalf>
HWY_INLINE void multiply_block(std::int64_t steps, Left left, Right right, Result result) {
  Accumulators<kRows, kVectors, kHalf> block;
  if (result.add)
    block.load(result.data, result.stride);
  else
    block.clear();
  const float* a = left.data;
  const float* b = right.data;
  if (left.row == 1) {
    for (std::int64_t k = 0; k < steps; ++k, a += left.step, b += right.stride)
      block.add([&](int r) { return a[r]; }, b);
  } else {
    for (std::int64_t k = 0; k < steps; ++k, a += left.step, b += right.stride)
      block.add([&](int r) { return a[r * left.row]; }, b);
  }
  block.store(result.data, result.stride);
}

/// All rows, by blocks of kRows, then of half as many, and so on.
template <int kRows, int kVectors, bool kHalf>
HWY_NOINLINE void multiply_rows(std::int64_t rows, std::int64_t steps, Left left, Right right,
                                Result result) {
  for (; rows >= kRows; rows -= kRows) {
    multiply_block<kRows, kVectors, kHalf>(steps, left, right, result);
    left.data += kRows * left.row;
    result.data += kRows * result.stride;
  }
  if constexpr (kRows > 1) {
    if (rows > 0) multiply_rows<kRows / 2, kVectors, kHalf>(rows, steps, left, right, result);
  }
}

/// Rows of a block of `vectors` (the half one counts): as many as registers hold, and enough chains to hide
/// the latency of a multiply-add.
constexpr int rows_of(int vectors) {
  return registers == 32 || vectors == 1 ? 8 : 4;
}

/// Calls f(first column, vectors of the block as a constant, whether it ends in a half one) for blocks of
/// columns of about equal width, at most three vectors.
template <class F>
HWY_INLINE void for_each_panel(std::int64_t columns, F f) {
  const std::int64_t full = columns / lanes;
  const bool has_half = columns % lanes != 0;
  std::int64_t left = full + (has_half ? 1 : 0);
  std::int64_t column = 0;
  for (std::int64_t panels = (left + 2) / 3; panels > 0; --panels) {
    const std::int64_t width = (left + panels - 1) / panels;
    f(column, static_cast<int>(width), panels == 1 && has_half);
    left -= width;
    column += width * lanes;
  }
}

/// C has `columns` columns: full vectors, and perhaps a half one.
inline void multiply(std::int64_t rows, std::int64_t columns, std::int64_t steps, Left left, Right right,
                     Result result) {
  for_each_panel(columns, [&](std::int64_t column, int width, bool half) {
    const Right b{right.data + column, right.stride};
    const Result c{result.data + column, result.stride, result.add};
    if (half) {
      if (width == 1) multiply_rows<rows_of(1), 0, true>(rows, steps, left, b, c);
      if (width == 2) multiply_rows<rows_of(2), 1, true>(rows, steps, left, b, c);
      if (width == 3) multiply_rows<rows_of(3), 2, true>(rows, steps, left, b, c);
    } else {
      if (width == 1) multiply_rows<rows_of(1), 1, false>(rows, steps, left, b, c);
      if (width == 2) multiply_rows<rows_of(2), 2, false>(rows, steps, left, b, c);
      if (width == 3) multiply_rows<rows_of(3), 3, false>(rows, steps, left, b, c);
    }
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
