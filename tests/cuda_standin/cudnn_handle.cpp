#include <cstdio>
#include <string>

#include "cudnn_types.h"
#include "faults.h"
#include "library.h"

namespace standin = lockstep::standin;

using Handles = standin::Handles<cudnnContext>;

std::size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  if (standin::must_fail("cudnnCreate")) return CUDNN_STATUS_NOT_INITIALIZED;
  const auto lock = standin::enter();
  if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM;
  *handle = Handles::instance().create("cudnnHandle_t");
  (*handle)->device = standin::current_device();
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  const bool fails = standin::must_fail("cudnnDestroy");
  const auto lock = standin::enter();
  if (handle == nullptr) return CUDNN_STATUS_SUCCESS;
  standin::check_handle(handle, "cudnnDestroy", "cudnnHandle_t");
  Handles::instance().destroy(handle, "cudnnHandle_t");
  return fails ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId) {
  if (standin::must_fail("cudnnSetStream")) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (handle == nullptr) return CUDNN_STATUS_BAD_PARAM;
  standin::check_handle(handle, "cudnnSetStream", "cudnnHandle_t");
  standin::check_stream_of(handle->device, streamId, "cudnnSetStream");
  handle->stream = streamId;
  return CUDNN_STATUS_SUCCESS;
}

void cudnnGetLastErrorString(char* message, std::size_t max_size) {
  const std::string call = standin::take_last_failure();
  std::snprintf(message, max_size, "%s", call.empty() ? "" : (call + " was asked to fail").c_str());
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_INTERNAL_ERROR:
      return "CUDNN_STATUS_INTERNAL_ERROR";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
      return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    case CUDNN_STATUS_EXECUTION_FAILED:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return "CUDNN_UNKNOWN_STATUS";
  }
}
