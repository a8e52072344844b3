// Rows of windows in the shard, and their outputs in a C, H, W layout.
//
// Kernels read and write channels-last. Where the next layer wants C, H, W (a dense one), a row's outputs
// pass through a small buffer that stays in L1.
#if defined(LOCKSTEP_FUSED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOCKSTEP_FUSED_ROWS_INL_H_
#undef LOCKSTEP_FUSED_ROWS_INL_H_
#else
#define LOCKSTEP_FUSED_ROWS_INL_H_
#endif

#include "device/cpu/fused/window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lockstep::device::cpu::fused::HWY_NAMESPACE {

/// Window row `index` of a shard: of which sample, where in it.
struct RowPlace {
  std::int64_t sample, window_row;
  std::int64_t dst_row;  ///< first row of outputs, as the block gives them
  std::int64_t height;   ///< rows of outputs

  HWY_INLINE RowPlace(const Problem& problem, std::int64_t index)
      : sample(index / problem.window_rows()), window_row(index % problem.window_rows()) {
    dst_row = problem.pool ? window_row : 2 * window_row;
    const std::int64_t below = problem.dst_height() - dst_row;
    height = problem.pool || below == 1 ? 1 : 2;
  }
};

/// Floats that a row's outputs take at most.
inline std::int64_t staging_of(const Problem& problem) {
  return problem.plain_dst ? round_up(2 * problem.dst_width() * problem.out_channels, 16) : 0;
}

/// The record of row `index`, null where there is none.
template <class Byte>
HWY_INLINE Byte* record_of(const Problem& problem, std::int64_t index, std::int64_t stride, Byte* record) {
  if (record == nullptr || !problem.keeps_record()) return nullptr;
  return record + index * problem.window_columns() * stride;
}

/// Where the outputs of row `index` go: y itself, or the buffer.
inline WindowRow<float, std::uint8_t> destination(const Problem& problem, std::int64_t index,
                                                  std::int64_t stride, const Forward& pass, float* staging) {
  const RowPlace place(problem, index);
  float* y = problem.plain_dst ? staging
                               : pass.y + (place.sample * problem.dst_height() + place.dst_row) *
                                              problem.dst_width() * problem.out_channels;
  return {y, record_of(problem, index, stride, pass.record), place.height};
}

/// Takes a finished row on from the buffer to y.
inline void unstage(const Problem& problem, std::int64_t index, const float* staging, float* y) {
  if (!problem.plain_dst) return;
  const RowPlace place(problem, index);
  const std::int64_t channels = problem.out_channels;
  const std::int64_t plane = problem.dst_height() * problem.dst_width();
  const std::int64_t cells = place.height * problem.dst_width();
  float* to = y + place.sample * channels * plane + place.dst_row * problem.dst_width();
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t i = 0; i < cells; ++i) to[c * plane + i] = staging[i * channels + c];
}

/// Where the gradients of row `index` are, brought into the buffer if need be.
inline WindowRow<const float, const std::uint8_t> source(const Problem& problem, std::int64_t index,
                                                         std::int64_t stride, const Backward& pass,
                                                         float* staging) {
  const RowPlace place(problem, index);
  const std::int64_t channels = problem.out_channels;
  const std::int64_t plane = problem.dst_height() * problem.dst_width();
  const std::int64_t first = place.dst_row * problem.dst_width();
  const std::uint8_t* record = record_of(problem, index, stride, pass.record);
  if (!problem.plain_dst) return {pass.dy + (place.sample * plane + first) * channels, record, place.height};
  const float* from = pass.dy + place.sample * channels * plane + first;
  const std::int64_t cells = place.height * problem.dst_width();
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t i = 0; i < cells; ++i) staging[i * channels + c] = from[c * plane + i];
  return {staging, record, place.height};
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace lockstep::device::cpu::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
