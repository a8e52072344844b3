#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

#include "cudnn_compute.h"
#include "library.h"

// The functions that compute. What cuDNN would find wrong is returned as its documentation says; what it
// would not see (overlapping memory, a device that is not current) is a violation.

namespace standin = lockstep::standin;
using standin::Access;
using standin::Algorithm;
using standin::Blend;
using standin::Convolution;
using standin::Direction;

namespace {

struct Workspace {
  void* data;
  std::size_t bytes;  ///< as the caller says
};

/// One call, its descriptors resolved.
struct Call {
  std::string_view name;
  cudnnHandle_t handle;
  Convolution convolution = {};
  Algorithm algorithm = {};
  std::size_t scratch = 0;  ///< bytes of the workspace that the algorithm uses

  [[nodiscard]] Access reads(const void* data, std::int64_t count) const {
    return access(data, count, false);
  }
  [[nodiscard]] Access writes(const void* data, std::int64_t count) const {
    return access(data, count, true);
  }

 private:
  [[nodiscard]] Access access(const void* data, std::int64_t count, bool writes) const {
    return {data, static_cast<std::size_t>(count * convolution.element_bytes()), writes};
  }
};

cudnnStatus_t prepare(Call& call, Direction direction, cudnnTensorDescriptor_t x,
                      cudnnFilterDescriptor_t filter, cudnnConvolutionDescriptor_t convolution,
                      cudnnTensorDescriptor_t y, int algorithm, const Workspace& workspace,
                      std::initializer_list<const void*> pointers) {
  if (call.handle == nullptr || std::ranges::find(pointers, nullptr) != pointers.end())
    return CUDNN_STATUS_BAD_PARAM;
  if (const auto status = resolve(x, filter, convolution, y, call.convolution);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  if (const auto status = find(direction, algorithm, call.convolution, call.algorithm);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  call.scratch = workspace_bytes(direction, call.algorithm, call.convolution);
  if (workspace.bytes < call.scratch || (call.scratch > 0 && workspace.data == nullptr))
    return CUDNN_STATUS_BAD_PARAM;
  if (reinterpret_cast<std::uintptr_t>(workspace.data) % 256 != 0)
    standin::violation(std::string(call.name) + ": a workspace that is not aligned to 256 bytes");
  standin::check_handle(call.handle, call.name, "cudnnHandle_t");
  standin::check_device(call.handle->device, call.name);
  return CUDNN_STATUS_SUCCESS;
}

/// Queues the work; the workspace holds garbage before and after it.
cudnnStatus_t queue(const Call& call, std::vector<Access> accesses, const Workspace& workspace,
                    std::function<void()> work) {
  // Algorithms read their inputs when they please: nothing that is written may lie in them.
  if (call.scratch > 0) accesses.push_back({workspace.data, call.scratch, true});
  for (std::size_t i = 0; i < accesses.size(); ++i)
    for (std::size_t j = 0; j < accesses.size(); ++j)
      if (i != j && accesses[i].writes && overlap(accesses[i], accesses[j]))
        standin::violation(std::string(call.name) +
                           ": memory that it writes overlaps other memory that it uses");
  standin::enqueue(call.handle->stream, call.name, std::move(accesses),
                   [scratch = call.scratch, data = workspace.data, work = std::move(work)] {
                     if (scratch > 0) standin::poison(data, scratch);
                     work();
                     if (scratch > 0) standin::poison(data, scratch);
                   });
  return CUDNN_STATUS_SUCCESS;
}

/// Factors are read from the host when the function is called, as floats for all types here.
Blend blend(const void* alpha, const void* beta) {
  return {*static_cast<const float*>(alpha), *static_cast<const float*>(beta)};
}

/// The restrictions of the fused form.
cudnnStatus_t check_fused(const Convolution& convolution, cudnnConvolutionFwdAlgo_t algorithm,
                          const cudnnTensorStruct& y, const cudnnTensorStruct& z,
                          const cudnnTensorStruct& bias, const cudnnActivationStruct& activation) {
  if (!z.set || !bias.set || !activation.set) return CUDNN_STATUS_BAD_PARAM;
  if (z.extents != y.extents || z.type != y.type || z.format != y.format) return CUDNN_STATUS_BAD_PARAM;
  if (bias.extents != std::array{1, static_cast<int>(convolution.k), 1, 1}) return CUDNN_STATUS_BAD_PARAM;
  if (bias.type != convolution.type) return CUDNN_STATUS_NOT_SUPPORTED;
  if (activation.mode != CUDNN_ACTIVATION_RELU && activation.mode != CUDNN_ACTIVATION_IDENTITY)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (activation.mode == CUDNN_ACTIVATION_IDENTITY &&
      algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (activation.nan != CUDNN_NOT_PROPAGATE_NAN) return CUDNN_STATUS_NOT_SUPPORTED;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha,
                                      const cudnnTensorDescriptor_t xDesc, const void* x,
                                      const cudnnFilterDescriptor_t wDesc, const void* w,
                                      const cudnnConvolutionDescriptor_t convDesc,
                                      cudnnConvolutionFwdAlgo_t algo, void* workSpace,
                                      std::size_t workSpaceSizeInBytes, const void* beta,
                                      const cudnnTensorDescriptor_t yDesc, void* y) {
  if (standin::must_fail("cudnnConvolutionForward")) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto lock = standin::enter();
  Call call{.name = "cudnnConvolutionForward", .handle = handle};
  const Workspace workspace{workSpace, workSpaceSizeInBytes};
  if (const auto status = prepare(call, Direction::forward, xDesc, wDesc, convDesc, yDesc, algo, workspace,
                                  {alpha, beta, x, w, y});
      status != CUDNN_STATUS_SUCCESS)
    return status;
  const auto& shape = call.convolution;
  return queue(
      call, {call.reads(x, shape.x_count()), call.reads(w, shape.w_count()), call.writes(y, shape.y_count())},
      workspace, [shape, algorithm = call.algorithm, x, w, y, factors = blend(alpha, beta)] {
        compute_forward(shape, algorithm, x, w, y, factors);
      });
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void* alpha1, const cudnnTensorDescriptor_t xDesc, const void* x,
    const cudnnFilterDescriptor_t wDesc, const void* w, const cudnnConvolutionDescriptor_t convDesc,
    cudnnConvolutionFwdAlgo_t algo, void* workSpace, std::size_t workSpaceSizeInBytes, const void* alpha2,
    const cudnnTensorDescriptor_t zDesc, const void* z, const cudnnTensorDescriptor_t biasDesc,
    const void* bias, const cudnnActivationDescriptor_t activationDesc, const cudnnTensorDescriptor_t yDesc,
    void* y) {
  if (standin::must_fail("cudnnConvolutionBiasActivationForward")) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto lock = standin::enter();
  Call call{.name = "cudnnConvolutionBiasActivationForward", .handle = handle};
  const Workspace workspace{workSpace, workSpaceSizeInBytes};
  if (const auto status = prepare(call, Direction::forward, xDesc, wDesc, convDesc, yDesc, algo, workspace,
                                  {alpha1, alpha2, x, w, z, bias, y, zDesc, biasDesc, activationDesc});
      status != CUDNN_STATUS_SUCCESS)
    return status;
  if (const auto status = check_fused(call.convolution, algo, *yDesc, *zDesc, *biasDesc, *activationDesc);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  const auto& shape = call.convolution;
  const auto [factor1, factor2] = blend(alpha1, alpha2);
  std::vector<Access> accesses = {call.reads(x, shape.x_count()), call.reads(w, shape.w_count()),
                                  call.reads(bias, shape.k), call.writes(y, shape.y_count())};
  // z may be y itself, and is not read where its factor is 0.
  if (factor2 != 0 && z != y) accesses.push_back(call.reads(z, shape.y_count()));
  const standin::Epilogue epilogue{
      .z = z, .bias = bias, .alpha2 = factor2, .relu = activationDesc->mode == CUDNN_ACTIVATION_RELU};
  return queue(call, std::move(accesses), workspace,
               [shape, algorithm = call.algorithm, x, w, y, factor = factor1, epilogue] {
                 compute_fused(shape, algorithm, x, w, y, factor, epilogue);
               });
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha,
                                           const cudnnFilterDescriptor_t wDesc, const void* w,
                                           const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                           const cudnnConvolutionDescriptor_t convDesc,
                                           cudnnConvolutionBwdDataAlgo_t algo, void* workSpace,
                                           std::size_t workSpaceSizeInBytes, const void* beta,
                                           const cudnnTensorDescriptor_t dxDesc, void* dx) {
  if (standin::must_fail("cudnnConvolutionBackwardData")) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto lock = standin::enter();
  Call call{.name = "cudnnConvolutionBackwardData", .handle = handle};
  const Workspace workspace{workSpace, workSpaceSizeInBytes};
  if (const auto status = prepare(call, Direction::data, dxDesc, wDesc, convDesc, dyDesc, algo, workspace,
                                  {alpha, beta, w, dy, dx});
      status != CUDNN_STATUS_SUCCESS)
    return status;
  const auto& shape = call.convolution;
  return queue(
      call,
      {call.reads(w, shape.w_count()), call.reads(dy, shape.y_count()), call.writes(dx, shape.x_count())},
      workspace, [shape, algorithm = call.algorithm, w, dy, dx, factors = blend(alpha, beta)] {
        compute_data(shape, algorithm, w, dy, dx, factors);
      });
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha,
                                             const cudnnTensorDescriptor_t xDesc, const void* x,
                                             const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                             const cudnnConvolutionDescriptor_t convDesc,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void* workSpace,
                                             std::size_t workSpaceSizeInBytes, const void* beta,
                                             const cudnnFilterDescriptor_t dwDesc, void* dw) {
  if (standin::must_fail("cudnnConvolutionBackwardFilter")) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto lock = standin::enter();
  Call call{.name = "cudnnConvolutionBackwardFilter", .handle = handle};
  const Workspace workspace{workSpace, workSpaceSizeInBytes};
  if (const auto status = prepare(call, Direction::filter, xDesc, dwDesc, convDesc, dyDesc, algo, workspace,
                                  {alpha, beta, x, dy, dw});
      status != CUDNN_STATUS_SUCCESS)
    return status;
  const auto& shape = call.convolution;
  return queue(
      call,
      {call.reads(x, shape.x_count()), call.reads(dy, shape.y_count()), call.writes(dw, shape.w_count())},
      workspace, [shape, algorithm = call.algorithm, x, dy, dw, factors = blend(alpha, beta)] {
        compute_filter(shape, algorithm, x, dy, dw, factors);
      });
}
