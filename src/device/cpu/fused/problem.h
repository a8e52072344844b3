#pragma once

#include <cstdint>

namespace lockstep::device::cpu::fused {

/// One fused block over the samples of a shard: convolution with stride 1 and a square kernel of 3 or 5,
/// bias, perhaps a ReLU, perhaps a 2×2 max-pool with stride 2.
///
/// The outputs of the convolution are cut into windows of 2×2, which are the windows of the pool. A pool
/// leaves out an odd last row or column; without a pool the last windows hang over the edge by half.
struct Problem {
  std::int64_t samples = 0;
  std::int64_t in_channels = 0, in_height = 0, in_width = 0;
  std::int64_t out_channels = 0, out_height = 0, out_width = 0;  ///< of the convolution
  std::int64_t kernel = 0;
  std::int64_t pad_top = 0, pad_left = 0;  ///< those below and to the right follow from the extents
  bool relu = false, pool = false;
  /// Activations are channels-last, but for these. The Winograd kernels take no plain input.
  bool plain_src = false, plain_dst = false;  ///< x is C, H, W; y and dy are

  [[nodiscard]] std::int64_t window_rows() const { return pool ? out_height / 2 : (out_height + 1) / 2; }
  [[nodiscard]] std::int64_t window_columns() const { return pool ? out_width / 2 : (out_width + 1) / 2; }
  /// Window rows of all samples, one after the other.
  [[nodiscard]] std::int64_t all_window_rows() const { return samples * window_rows(); }
  /// Extents of what the block gives.
  [[nodiscard]] std::int64_t dst_height() const { return pool ? out_height / 2 : out_height; }
  [[nodiscard]] std::int64_t dst_width() const { return pool ? out_width / 2 : out_width; }
  /// Whether backward needs to know which outputs won or lived.
  [[nodiscard]] bool keeps_record() const { return relu || pool; }
};

/// How the kernels for vectors of some number of floats lay out their own memory. Counts are in floats.
struct Layout {
  /// Channels rounded up, so that vectors and half vectors cover them exactly.
  std::int64_t in_stride = 0, out_stride = 0;
  std::int64_t packed = 0;              ///< weights as the kernels read them
  std::int64_t packing_pieces = 1;      ///< that Method::pack can be asked for
  std::int64_t forward_workspace = 0;   ///< scratch memory of one runner
  std::int64_t backward_workspace = 0;  ///< at least as large
  std::int64_t record = 0;              ///< bytes that forward leaves for backward

  /// Rows at a time: of tiles in the Winograd kernels, of windows in the direct ones.
  std::int64_t strip_rows = 0;
  /// Winograd: from one point of the transform domain to the next in the transformed input and output.
  std::int64_t in_point = 0, out_point = 0;
  std::int64_t alive_filters = 0;       ///< where those of AliveGradients are packed; 0: nowhere
  std::int64_t transposed_filters = 0;  ///< Winograd: where uᵀ is packed; 0: nowhere
};

}  // namespace lockstep::device::cpu::fused
