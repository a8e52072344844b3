#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "device/cuda/bfloat16.h"

/// Copies to and from tensors that a library wants padded, or in bfloat16.
namespace lockstep::device::cuda {

/// Planes of height × width, each within one of padded_height × padded_width that starts `top` rows above and
/// `left` columns before it.
struct Frame {
  std::int64_t planes = 0, height = 0, width = 0;
  std::int64_t padded_height = 0, padded_width = 0, top = 0, left = 0;

  [[nodiscard]] std::int64_t cells() const { return planes * height * width; }
  [[nodiscard]] std::int64_t padded_cells() const { return planes * padded_height * padded_width; }
};

/// Puts planes into their frames, zeros around them.
void pad(cudaStream_t stream, const Frame& frame, const float* from, float* to);
void pad(cudaStream_t stream, const Frame& frame, const float* from, Bfloat16* to);
/// Takes them out.
void crop(cudaStream_t stream, const Frame& frame, const float* from, float* to);
void crop(cudaStream_t stream, const Frame& frame, const Bfloat16* from, float* to);

void convert(cudaStream_t stream, std::int64_t count, const float* from, Bfloat16* to);
void convert(cudaStream_t stream, std::int64_t count, const Bfloat16* from, float* to);

}  // namespace lockstep::device::cuda
