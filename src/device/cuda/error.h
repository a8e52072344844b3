#pragma once

#include <cuda_runtime.h>

#include <source_location>
#include <string>
#include <string_view>

#include "base/error.h"

/// What is made of the codes that libraries return: Error with one line that names call, code, the place in
/// Lockstep and the device.
namespace lockstep::device::cuda {

/// Throws; `description` is the library's own.
[[noreturn]] void fail_call(std::string_view library, std::string_view function, std::string_view description,
                            std::string_view code, ExitCode exit_code, std::source_location where);
[[noreturn]] void fail_call(cudaError_t status, std::string_view function, ExitCode exit_code,
                            std::source_location where);

/// For CUDA's runtime: call(cudaFree(p), "cudaFree"). A failure of work queued earlier may come to light in
/// any call.
inline void call(cudaError_t status, std::string_view function, ExitCode exit_code = ExitCode::internal,
                 std::source_location where = std::source_location::current()) {
  if (status != cudaSuccess) [[unlikely]]
    fail_call(status, function, exit_code, where);
}

/// For CUDA's runtime, after the launch of a kernel, which returns nothing: what was queued earlier and has
/// failed meanwhile is told apart from a launch that was refused.
void call_launch(std::source_location where);

/// For what destroys: a failure is warned of, unless one was reported before, after which CUDA fails whatever
/// it is asked.
void note(cudaError_t status, std::string_view function) noexcept;
/// Likewise, for other libraries.
void note_failure(std::string_view library, std::string_view function, std::string_view description) noexcept;

/// Makes `device` the one that the calling thread's next calls are about.
void use_device(int device, std::source_location where = std::source_location::current());

}  // namespace lockstep::device::cuda
