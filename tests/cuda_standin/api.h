#pragma once

#include <cuda_runtime.h>

#include <string_view>

#include "faults.h"
#include "memory.h"
#include "runtime.h"

/// What all functions of the imitated CUDA runtime have in common.
namespace lockstep::standin {

[[nodiscard]] Mutex& mutex();

/// Remembers an error for cudaGetLastError, and passes it on.
cudaError_t report(cudaError_t error);

/// The error of any call on this machine as it is set up: no driver, one too old, no devices.
[[nodiscard]] cudaError_t machine_error();

/// cudaSuccess, or the error of a call that must not be made while a capture is going on that the calling
/// thread has to heed; all such captures are invalid then.
[[nodiscard]] cudaError_t refuse_while_capturing();

/// One call: counts it, fails it if so asked, keeps other threads out, and runs `body`, which returns the
/// result.
template <class Body>
cudaError_t api(std::string_view call, cudaError_t failure, const Body& body) {
  if (fails_on_purpose(call)) return report(failure);
  if (const cudaError_t error = machine_error(); error != cudaSuccess) return report(error);
  const auto lock = enter();
  if (device_has_failed()) return report(cudaErrorLaunchFailure);
  return report(body());
}

/// One call that destroys something, which it does even if it reports a failure: that of earlier work.
template <class Body>
cudaError_t destroying_api(std::string_view call, const Body& body) {
  const bool fails = fails_on_purpose(call);
  const auto lock = enter();
  const cudaError_t result = body();
  if (fails) return report(cudaErrorUnknown);
  return report(device_has_failed() ? cudaErrorLaunchFailure : result);
}

}  // namespace lockstep::standin
