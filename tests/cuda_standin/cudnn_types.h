#pragma once

#include <cudnn.h>

#include <array>
#include <cstdint>

// What cuDNN's handles and descriptors are here.

struct cudnnContext {
  int device = 0;
  cudaStream_t stream = nullptr;
};

struct cudnnTensorStruct {
  bool set = false;
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::array<int, 4> extents = {};  ///< N, C, H, W
};

struct cudnnFilterStruct {
  bool set = false;
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::array<int, 4> extents = {};  ///< K, C, R, S
};

struct cudnnConvolutionStruct {
  bool set = false;
  std::array<int, 2> padding = {}, stride = {}, dilation = {};
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

struct cudnnActivationStruct {
  bool set = false;
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_IDENTITY;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  double coefficient = 0;
};

namespace lockstep::standin {

/// A convolution that its descriptors describe without contradiction.
struct Convolution {
  std::int64_t n, c, h, w;  ///< of x and dx
  std::int64_t k, r, s;     ///< of the filter
  std::int64_t p, q;        ///< rows and columns of y and dy
  std::array<int, 2> padding, stride, dilation;
  cudnnDataType_t type;
  cudnnMathType_t math;

  [[nodiscard]] std::int64_t taps() const { return c * r * s; }
  [[nodiscard]] std::int64_t positions() const { return p * q; }
  [[nodiscard]] std::int64_t x_count() const { return n * c * h * w; }
  [[nodiscard]] std::int64_t w_count() const { return k * taps(); }
  [[nodiscard]] std::int64_t y_count() const { return n * k * positions(); }
  [[nodiscard]] std::int64_t element_bytes() const { return type == CUDNN_DATA_BFLOAT16 ? 2 : 4; }
};

/// Rows and columns of the output; not positive where the filter does not fit.
std::array<std::int64_t, 2> output_extent(const cudnnConvolutionStruct& convolution,
                                          const cudnnTensorStruct& input, const cudnnFilterStruct& filter);

/// What cuDNN would return for descriptors of x, filter, convolution and y (or of their gradients) that are
/// used together; fills `result` if that is success.
cudnnStatus_t resolve(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
                      cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y,
                      Convolution& result);

}  // namespace lockstep::standin
