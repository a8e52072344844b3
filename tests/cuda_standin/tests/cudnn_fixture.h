#pragma once

#include <cudnn.h>

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda_standin/tests/device_data.h"

namespace lockstep::standin {

/// A convolution's extents.
struct Extents {
  int n = 2, c = 3, h = 8, w = 9, k = 4, r = 3, s = 3;
  int pad_h = 0, pad_w = 0, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;

  [[nodiscard]] int p() const { return (h + 2 * pad_h - (r - 1) * dilation_h - 1) / stride_h + 1; }
  [[nodiscard]] int q() const { return (w + 2 * pad_w - (s - 1) * dilation_w - 1) / stride_w + 1; }
  [[nodiscard]] std::size_t x_count() const { return count({n, c, h, w}); }
  [[nodiscard]] std::size_t w_count() const { return count({k, c, r, s}); }
  [[nodiscard]] std::size_t y_count() const { return count({n, k, p(), q()}); }

 private:
  static std::size_t count(std::array<int, 4> extents) {
    std::size_t result = 1;
    for (const int extent : extents) result *= static_cast<std::size_t>(extent);
    return result;
  }
};

inline void expect_status(cudnnStatus_t status, cudnnStatus_t expected = CUDNN_STATUS_SUCCESS) {
  EXPECT_EQ(status, expected) << cudnnGetErrorString(status);
}

/// Handle, descriptors and workspace for a convolution.
class TestConvolution {
 public:
  TestConvolution(cudaStream_t stream, const Extents& extents, cudnnDataType_t type = CUDNN_DATA_FLOAT,
                  cudnnMathType_t math = CUDNN_FMA_MATH)
      : workspace(std::size_t{1} << 20) {
    expect_status(cudnnCreate(&handle));
    expect_status(cudnnSetStream(handle, stream));
    for (auto* each : {&x, &y, &bias}) expect_status(cudnnCreateTensorDescriptor(each));
    expect_status(cudnnCreateFilterDescriptor(&w));
    expect_status(cudnnCreateConvolutionDescriptor(&convolution));
    expect_status(cudnnCreateActivationDescriptor(&activation));
    const auto& e = extents;
    expect_status(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, type, e.n, e.c, e.h, e.w));
    expect_status(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NCHW, type, e.n, e.k, e.p(), e.q()));
    expect_status(cudnnSetTensor4dDescriptor(bias, CUDNN_TENSOR_NCHW, type, 1, e.k, 1, 1));
    expect_status(cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NCHW, e.k, e.c, e.r, e.s));
    expect_status(cudnnSetConvolution2dDescriptor(convolution, e.pad_h, e.pad_w, e.stride_h, e.stride_w,
                                                  e.dilation_h, e.dilation_w, CUDNN_CROSS_CORRELATION,
                                                  CUDNN_DATA_FLOAT));
    expect_status(cudnnSetConvolutionMathType(convolution, math));
    expect_status(
        cudnnSetActivationDescriptor(activation, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
  }
  ~TestConvolution() {
    for (auto* each : {x, y, bias}) static_cast<void>(cudnnDestroyTensorDescriptor(each));
    static_cast<void>(cudnnDestroyFilterDescriptor(w));
    static_cast<void>(cudnnDestroyConvolutionDescriptor(convolution));
    static_cast<void>(cudnnDestroyActivationDescriptor(activation));
    static_cast<void>(cudnnDestroy(handle));
  }
  TestConvolution(const TestConvolution&) = delete;
  TestConvolution& operator=(const TestConvolution&) = delete;

  // result = alpha · (…) + beta · result, with all of the workspace.
  [[nodiscard]] cudnnStatus_t forward(int algorithm, const void* x_data, const void* w_data,
                                      void* result) const {
    return cudnnConvolutionForward(handle, &alpha, x, x_data, w, w_data, convolution,
                                   static_cast<cudnnConvolutionFwdAlgo_t>(algorithm), workspace.data(),
                                   workspace_bytes, &beta, y, result);
  }
  [[nodiscard]] cudnnStatus_t backward_data(int algorithm, const void* w_data, const void* dy,
                                            void* result) const {
    return cudnnConvolutionBackwardData(handle, &alpha, w, w_data, y, dy, convolution,
                                        static_cast<cudnnConvolutionBwdDataAlgo_t>(algorithm),
                                        workspace.data(), workspace_bytes, &beta, x, result);
  }
  [[nodiscard]] cudnnStatus_t backward_filter(int algorithm, const void* x_data, const void* dy,
                                              void* result) const {
    return cudnnConvolutionBackwardFilter(handle, &alpha, x, x_data, y, dy, convolution,
                                          static_cast<cudnnConvolutionBwdFilterAlgo_t>(algorithm),
                                          workspace.data(), workspace_bytes, &beta, w, result);
  }
  [[nodiscard]] cudnnStatus_t fused(int algorithm, const void* x_data, const void* w_data,
                                    const void* bias_data, void* result) const {
    return cudnnConvolutionBiasActivationForward(
        handle, &alpha, x, x_data, w, w_data, convolution, static_cast<cudnnConvolutionFwdAlgo_t>(algorithm),
        workspace.data(), workspace_bytes, &beta, y, result, bias, bias_data, activation, y, result);
  }

  cudnnHandle_t handle = nullptr;
  cudnnTensorDescriptor_t x = nullptr, y = nullptr, bias = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  cudnnActivationDescriptor_t activation = nullptr;
  float alpha = 1, beta = 0;
  DeviceData<char> workspace;
  std::size_t workspace_bytes = workspace.bytes();
};

inline std::vector<float> random_floats(std::mt19937& random, std::size_t count) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(count);
  for (auto& value : values) value = distribution(random);
  return values;
}

}  // namespace lockstep::standin
