#include "device/cuda/libraries.h"

#include <fmt/core.h>

#include <array>
#include <limits>
#include <string>

#include "base/error.h"
#include "device/cuda/memory.h"

namespace lockstep::device::cuda {
namespace {

/// What cuBLAS is to have for partial sums: from Hopper on 32 MiB, as its manual recommends; before, twice
/// the 4 MiB that it recommends there.
std::int64_t cublas_workspace(const DeviceFacts& device) {
  constexpr int hopper = 9;
  constexpr std::int64_t mebibyte = std::int64_t{1} << 20U;
  return (std::stoi(device.architecture) >= hopper ? 32 : 8) * mebibyte;
}

constexpr std::string_view what_it_needs = "what the library needs";

}  // namespace

void fail_call(cudnnStatus_t status, std::string_view function, std::source_location where) {
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
    fail_for_room("cuDNN", function, what_it_needs);
  std::array<char, 512> detail = {};  // what cuDNN itself says of the thread's last failure, if it does
  cudnnGetLastErrorString(detail.data(), detail.size());
  const std::string_view code = cudnnGetErrorString(status);
  fail_call("cuDNN", function,
            detail.front() == '\0' ? std::string(code) : fmt::format("{}: {}", code, detail.data()),
            fmt::format("{}", static_cast<int>(status)), ExitCode::internal, where);
}

void fail_call(cublasStatus_t status, std::string_view function, std::source_location where) {
  if (status == CUBLAS_STATUS_ALLOC_FAILED) fail_for_room("cuBLAS", function, what_it_needs);
  fail_call("cuBLAS", function, cublasGetStatusString(status), fmt::format("{}", static_cast<int>(status)),
            ExitCode::internal, where);
}

void note(cudnnStatus_t status, std::string_view function) noexcept {
  if (status != CUDNN_STATUS_SUCCESS) note_failure("cuDNN", function, cudnnGetErrorString(status));
}

void note(cublasStatus_t status, std::string_view function) noexcept {
  if (status != CUBLAS_STATUS_SUCCESS) note_failure("cuBLAS", function, cublasGetStatusString(status));
}

CudnnHandle make_cudnn() {
  cudnnHandle_t handle = nullptr;
  call(cudnnCreate(&handle), "cudnnCreate");
  return CudnnHandle(handle);
}

CublasHandle make_cublas() {
  cublasHandle_t handle = nullptr;
  call(cublasCreate(&handle), "cublasCreate");
  return CublasHandle(handle);
}

TensorDescriptor describe_tensor(cudnnDataType_t type, std::int64_t samples, std::int64_t channels,
                                 std::int64_t height, std::int64_t width) {
  cudnnTensorDescriptor_t made = nullptr;
  call(cudnnCreateTensorDescriptor(&made), "cudnnCreateTensorDescriptor");
  TensorDescriptor descriptor(made);
  call(cudnnSetTensor4dDescriptor(made, CUDNN_TENSOR_NCHW, type, narrow(samples), narrow(channels),
                                  narrow(height), narrow(width)),
       "cudnnSetTensor4dDescriptor");
  return descriptor;
}

FilterDescriptor describe_filter(cudnnDataType_t type, std::int64_t out, std::int64_t in, std::int64_t height,
                                 std::int64_t width) {
  cudnnFilterDescriptor_t made = nullptr;
  call(cudnnCreateFilterDescriptor(&made), "cudnnCreateFilterDescriptor");
  FilterDescriptor descriptor(made);
  call(cudnnSetFilter4dDescriptor(made, type, CUDNN_TENSOR_NCHW, narrow(out), narrow(in), narrow(height),
                                  narrow(width)),
       "cudnnSetFilter4dDescriptor");
  return descriptor;
}

int narrow(std::int64_t value) {
  if (value > std::numeric_limits<int>::max())
    fail(ExitCode::bad_config, "an extent of {} is more than cuDNN and cuBLAS can count", value);
  return static_cast<int>(value);
}

Libraries::Libraries(Accelerator& accelerator, bool needs_cudnn, bool needs_cublas) {
  if (needs_cublas) workspace_ = accelerator.allocate(workspace_bytes(accelerator.facts(), needs_cublas));
  if (needs_cudnn) cudnn_ = make_cudnn();
  if (needs_cublas) cublas_ = make_cublas();
}

std::int64_t Libraries::workspace_bytes(const DeviceFacts& device, bool needs_cublas) {
  return needs_cublas ? cublas_workspace(device) : 0;
}

void Libraries::use(cudaStream_t stream) {
  if (cudnn_) call(cudnnSetStream(cudnn_.get(), stream), "cudnnSetStream");
  if (!cublas_) return;
  call(cublasSetStream(cublas_.get(), stream), "cublasSetStream");
  // Anew each time: a change of the stream takes the workspace away.
  call(cublasSetWorkspace(cublas_.get(), workspace_->data(), static_cast<std::size_t>(workspace_->bytes())),
       "cublasSetWorkspace");
}

}  // namespace lockstep::device::cuda
