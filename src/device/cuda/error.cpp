#include "device/cuda/error.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>

#include "base/error.h"
#include "base/log.h"

namespace lockstep::device::cuda {
namespace {

/// Whether a failure was reported: those that follow while everything is given back are no news.
std::atomic<bool> reported = false;

std::string this_device() {
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return "";
  return fmt::format(" on device {}", device);
}

/// The last part of the path that the compiler was given, from src/ on where it has one.
std::string_view file_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  const auto source = path.rfind("src/");
  return source == std::string_view::npos ? path : path.substr(source);
}

}  // namespace

void fail_call(std::string_view library, std::string_view function, std::string_view description,
               std::string_view code, ExitCode exit_code, std::source_location where) {
  reported = true;
  const std::string device = this_device();
  static_cast<void>(cudaGetLastError());  // or the next launch of a kernel would find it
  fail(exit_code, "{}: {} failed: {} ({}) at {}:{}{}", library, function, description, code, file_of(where),
       where.line(), device);
}

void fail_call(cudaError_t status, std::string_view function, ExitCode exit_code,
               std::source_location where) {
  fail_call("CUDA", function, cudaGetErrorString(status), cudaGetErrorName(status), exit_code, where);
}

void call_launch(std::source_location where) {
  const cudaError_t status = cudaGetLastError();
  switch (status) {
    case cudaSuccess:
      return;
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorMemoryAllocation:
      fail_call(status, "launch of a kernel", ExitCode::internal, where);
    default:
      fail_call(status, "what was queued before the launch of a kernel", ExitCode::internal, where);
  }
}

void note(cudaError_t status, std::string_view function) noexcept {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  note_failure("CUDA", function, cudaGetErrorString(status));
}

void note_failure(std::string_view library, std::string_view function,
                  std::string_view description) noexcept {
  if (reported.exchange(true)) return;
  try {
    log::warning("{}: {} failed: {}{}", library, function, description, this_device());
  } catch (const std::exception&) {
    return;  // no memory for a warning
  }
}

void use_device(int device, std::source_location where) {
  call(cudaSetDevice(device), "cudaSetDevice", ExitCode::internal, where);
}

}  // namespace lockstep::device::cuda
