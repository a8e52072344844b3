#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "device/cuda/bfloat16.h"

/// What surrounds a library's convolution or matrix product: bias and ReLU.
namespace lockstep::device::cuda {

/// samples × channels × plane. A dense layer's outputs are channels of one cell.
struct Channels {
  std::int64_t samples = 0, channels = 0, plane = 0;
  [[nodiscard]] std::int64_t count() const { return samples * channels * plane; }
};

/// y = x + bias (none: null), then max(·, 0) where asked; NaN stays NaN. `y` may be `x`.
void add_bias(cudaStream_t stream, const Channels& channels, const float* x, const float* bias, bool relu,
              float* y);
void add_bias(cudaStream_t stream, const Channels& channels, const Bfloat16* x, const float* bias, bool relu,
              float* y);

/// The ReLU's backward pass, in place: clears the gradient of y where y is not positive.
void mask_relu(cudaStream_t stream, std::int64_t count, const float* y, float* gradient);

/// The gradient of a bias: sums over samples and cells, added in an order that depends on nothing but the
/// extents. Takes the ReLU's backward pass along where y is not null.
void sum_bias_gradient(cudaStream_t stream, const Channels& channels, const float* y, float* gradient,
                       float* scratch, float* bias_gradient);
/// Floats of its scratch memory, which may be none.
std::int64_t bias_gradient_scratch(const Channels& channels);

}  // namespace lockstep::device::cuda
