#pragma once

#include <cublas_v2.h>
#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <source_location>
#include <string_view>

#include "base/unique_handle.h"
#include "device/accelerator.h"
#include "device/cuda/error.h"

/// cuDNN and cuBLAS: their errors, handles and descriptors.
namespace lockstep::device::cuda {

[[noreturn]] void fail_call(cudnnStatus_t status, std::string_view function, std::source_location where);
[[noreturn]] void fail_call(cublasStatus_t status, std::string_view function, std::source_location where);

/// As call() of error.h.
inline void call(cudnnStatus_t status, std::string_view function,
                 std::source_location where = std::source_location::current()) {
  if (status != CUDNN_STATUS_SUCCESS) [[unlikely]]
    fail_call(status, function, where);
}
inline void call(cublasStatus_t status, std::string_view function,
                 std::source_location where = std::source_location::current()) {
  if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]]
    fail_call(status, function, where);
}

void note(cudnnStatus_t status, std::string_view function) noexcept;
void note(cublasStatus_t status, std::string_view function) noexcept;

struct CudnnTraits {
  using Type = cudnnHandle_t;
  static Type null() { return nullptr; }
  static void close(Type handle) noexcept { note(cudnnDestroy(handle), "cudnnDestroy"); }
};
struct CublasTraits {
  using Type = cublasHandle_t;
  static Type null() { return nullptr; }
  static void close(Type handle) noexcept { note(cublasDestroy(handle), "cublasDestroy"); }
};
template <class Descriptor, cudnnStatus_t (*destroy)(Descriptor)>
struct DescriptorTraits {
  using Type = Descriptor;
  static Type null() { return nullptr; }
  static void close(Type descriptor) noexcept { note(destroy(descriptor), "destroying a cuDNN descriptor"); }
};

using CudnnHandle = UniqueHandle<CudnnTraits>;
using CublasHandle = UniqueHandle<CublasTraits>;
using TensorDescriptor =
    UniqueHandle<DescriptorTraits<cudnnTensorDescriptor_t, cudnnDestroyTensorDescriptor>>;
using FilterDescriptor =
    UniqueHandle<DescriptorTraits<cudnnFilterDescriptor_t, cudnnDestroyFilterDescriptor>>;
using ConvolutionDescriptor =
    UniqueHandle<DescriptorTraits<cudnnConvolutionDescriptor_t, cudnnDestroyConvolutionDescriptor>>;
using ActivationDescriptor =
    UniqueHandle<DescriptorTraits<cudnnActivationDescriptor_t, cudnnDestroyActivationDescriptor>>;

/// Of the calling thread's current device.
CudnnHandle make_cudnn();
CublasHandle make_cublas();

/// N, C, H, W, without gaps.
TensorDescriptor describe_tensor(cudnnDataType_t type, std::int64_t samples, std::int64_t channels,
                                 std::int64_t height, std::int64_t width);
/// OIHW.
FilterDescriptor describe_filter(cudnnDataType_t type, std::int64_t out, std::int64_t in, std::int64_t height,
                                 std::int64_t width);

/// `value` as the libraries count. Error(bad_config) where it does not fit.
int narrow(std::int64_t value);

/// What one lane has of the libraries. Two that share a handle or a workspace could not run side by side,
/// nor would cuBLAS then promise the same bits from run to run.
class Libraries {
 public:
  /// Of the calling thread's current device; makes what is needed.
  Libraries(Accelerator& accelerator, bool needs_cudnn, bool needs_cublas);

  /// The device memory that one takes for cuBLAS.
  static std::int64_t workspace_bytes(const DeviceFacts& device, bool needs_cublas);

  /// What is called from now on goes to this stream.
  void use(cudaStream_t stream);

  [[nodiscard]] cudnnHandle_t cudnn() const { return cudnn_.get(); }
  [[nodiscard]] cublasHandle_t cublas() const { return cublas_.get(); }

 private:
  std::unique_ptr<Memory> workspace_;  // outlives the handle that uses it
  CudnnHandle cudnn_;
  CublasHandle cublas_;
};

}  // namespace lockstep::device::cuda
