#include <cublas_v2.h>

#include <cstdint>

#include "cublas_gemm.h"
#include "library.h"

namespace standin = lockstep::standin;

/// What a handle stands for. Its calls count on the device that was current when it was made.
struct cublasContext {
  int device = 0;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  cublasMath_t math = CUBLAS_DEFAULT_MATH;
};

namespace {

using Handles = standin::Handles<cublasContext>;

/// Whether there is a handle; violation() if it was destroyed, or never was one.
bool usable(cublasHandle_t handle, const char* call) {
  if (handle == nullptr) return false;
  standin::check_handle(handle, call, "cublasHandle_t");
  return true;
}

}  // namespace

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (standin::must_fail("cublasCreate")) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto lock = standin::enter();
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = Handles::instance().create("cublasHandle_t");
  (*handle)->device = standin::current_device();
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  const bool fails = standin::must_fail("cublasDestroy");
  const auto lock = standin::enter();
  if (!usable(handle, "cublasDestroy")) return CUBLAS_STATUS_NOT_INITIALIZED;
  Handles::instance().destroy(handle, "cublasHandle_t");
  return fails ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t handle, int* version) {
  if (standin::must_fail("cublasGetVersion")) return CUBLAS_STATUS_NOT_INITIALIZED;
  // The vendor's function takes a null handle too.
  static_cast<void>(handle);
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetProperty(libraryPropertyType type, int* value) {
  if (standin::must_fail("cublasGetProperty")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (value == nullptr || type < MAJOR_VERSION || type > PATCH_LEVEL) return CUBLAS_STATUS_INVALID_VALUE;
  const int parts[] = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH};
  *value = parts[type];
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t streamId) {
  if (standin::must_fail("cublasSetStream")) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto lock = standin::enter();
  if (!usable(handle, "cublasSetStream")) return CUBLAS_STATUS_NOT_INITIALIZED;
  standin::check_stream_of(handle->device, streamId, "cublasSetStream");
  handle->stream = streamId;
  // "cublasSetStream unconditionally resets the workspace back to the default workspace pool."
  handle->workspace = nullptr;
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t workspaceSizeInBytes) {
  if (standin::must_fail("cublasSetWorkspace")) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto lock = standin::enter();
  if (!usable(handle, "cublasSetWorkspace")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  handle->workspace_bytes = workspace == nullptr ? 0 : workspaceSizeInBytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  if (standin::must_fail("cublasSetMathMode")) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto lock = standin::enter();
  if (!usable(handle, "cublasSetMathMode")) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto plain = mode & ~CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  if (plain != CUBLAS_DEFAULT_MATH && plain != CUBLAS_PEDANTIC_MATH && plain != CUBLAS_TF32_TENSOR_OP_MATH)
    return CUBLAS_STATUS_INVALID_VALUE;
  handle->math = static_cast<cublasMath_t>(plain);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m,
                            int n, int k, const void* alpha, const void* A, cudaDataType Atype, int lda,
                            const void* B, cudaDataType Btype, int ldb, const void* beta, void* C,
                            cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                            cublasGemmAlgo_t algo) {
  if (standin::must_fail("cublasGemmEx")) return CUBLAS_STATUS_EXECUTION_FAILED;
  const auto lock = standin::enter();
  if (!usable(handle, "cublasGemmEx")) return CUBLAS_STATUS_NOT_INITIALIZED;
  static_cast<void>(algo);  // ignored since the Ampere generation
  const standin::Gemm gemm{.transpose_a = transa != CUBLAS_OP_N,
                           .transpose_b = transb != CUBLAS_OP_N,
                           .m = m,
                           .n = n,
                           .k = k,
                           .alpha = alpha == nullptr ? 0 : *static_cast<const float*>(alpha),
                           .beta = beta == nullptr ? 0 : *static_cast<const float*>(beta),
                           .a = {A, Atype, lda},
                           .b = {B, Btype, ldb},
                           .c = {C, Ctype, ldc},
                           .compute = computeType,
                           .tf32_allowed = handle->math == CUBLAS_TF32_TENSOR_OP_MATH,
                           .workspace = handle->workspace,
                           .workspace_bytes = handle->workspace_bytes};
  if (alpha == nullptr || beta == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (const auto status = check(gemm); status != CUBLAS_STATUS_SUCCESS) return status;
  standin::check_device(handle->device, "cublasGemmEx");
  if (m == 0 || n == 0) return CUBLAS_STATUS_SUCCESS;
  if (handle->workspace == nullptr && standin::is_capturing(handle->stream))
    standin::violation(
        "cublasGemmEx: captured without cublasSetWorkspace after the last cublasSetStream: graphs would "
        "share "
        "the default workspace, whose size and contents are nobody's");
  standin::enqueue(handle->stream, "cublasGemmEx", accesses(gemm), [gemm] { compute(gemm); });
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:  // which the stand-in never returns
      return "unrecognized status";
  }
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "success";
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "the library was not initialized";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "the resource allocation failed";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the function failed to launch on the GPU";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "the requested functionality is not supported";
    default:
      return "unrecognized status";
  }
}
