#include <algorithm>

#include "cudnn_algorithms.h"
#include "runtime.h"

// The functions by which a caller chooses an algorithm.

namespace standin = lockstep::standin;
using standin::Algorithm;
using standin::Convolution;
using standin::Direction;

namespace {

/// The recommendations, best first; those that are not possible come last, with a status that says so. Where
/// the descriptor allows tensor cores, what can use them comes once with and once without.
template <class Perf>
cudnnStatus_t recommend(const char* call, Direction direction, cudnnHandle_t handle,
                        cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
                        cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y, int requested,
                        int* returned, Perf* results) {
  if (standin::must_fail(call)) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (handle == nullptr || returned == nullptr || results == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (requested < 1) return CUDNN_STATUS_BAD_PARAM;
  Convolution shape{};
  if (const auto status = resolve(x, filter, convolution, y, shape); status != CUDNN_STATUS_SUCCESS)
    return status;
  std::vector<Perf> possible;
  std::vector<Perf> impossible;
  for (const auto& algorithm : standin::ranked(direction)) {
    Algorithm found{};
    Perf perf{};
    perf.algo = static_cast<decltype(perf.algo)>(algorithm.number);
    perf.status = find(direction, algorithm.number, shape, found);
    perf.time = -1;  // heuristics measure nothing
    perf.determinism = algorithm.deterministic ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
    perf.mathType = shape.math == CUDNN_TENSOR_OP_MATH ? CUDNN_FMA_MATH : shape.math;
    if (perf.status != CUDNN_STATUS_SUCCESS) {
      impossible.push_back(perf);
      continue;
    }
    perf.memory = workspace_bytes(direction, algorithm, shape);
    if (shape.math == CUDNN_TENSOR_OP_MATH && algorithm.tensor_cores) {
      possible.push_back(perf);
      possible.back().mathType = CUDNN_TENSOR_OP_MATH;
    }
    possible.push_back(perf);
  }
  possible.insert(possible.end(), impossible.begin(), impossible.end());
  *returned = std::min(requested, static_cast<int>(possible.size()));
  std::copy_n(possible.begin(), *returned, results);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t workspace(const char* call, Direction direction, cudnnHandle_t handle,
                        cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
                        cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y, int number,
                        std::size_t* bytes) {
  if (standin::must_fail(call)) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (handle == nullptr || bytes == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Convolution shape{};
  if (const auto status = resolve(x, filter, convolution, y, shape); status != CUDNN_STATUS_SUCCESS)
    return status;
  Algorithm algorithm{};
  if (const auto status = find(direction, number, shape, algorithm); status != CUDNN_STATUS_SUCCESS)
    return status;
  *bytes = workspace_bytes(direction, algorithm, shape);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc, const cudnnFilterDescriptor_t filterDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t destDesc,
    const int requestedAlgoCount, int* returnedAlgoCount, cudnnConvolutionFwdAlgoPerf_t* perfResults) {
  return recommend("cudnnGetConvolutionForwardAlgorithm_v7", Direction::forward, handle, srcDesc, filterDesc,
                   convDesc, destDesc, requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t filterDesc, const cudnnTensorDescriptor_t diffDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t gradDesc,
    const int requestedAlgoCount, int* returnedAlgoCount, cudnnConvolutionBwdDataAlgoPerf_t* perfResults) {
  return recommend("cudnnGetConvolutionBackwardDataAlgorithm_v7", Direction::data, handle, gradDesc,
                   filterDesc, convDesc, diffDesc, requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc, const cudnnTensorDescriptor_t diffDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnFilterDescriptor_t gradDesc,
    const int requestedAlgoCount, int* returnedAlgoCount, cudnnConvolutionBwdFilterAlgoPerf_t* perfResults) {
  return recommend("cudnnGetConvolutionBackwardFilterAlgorithm_v7", Direction::filter, handle, srcDesc,
                   gradDesc, convDesc, diffDesc, requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc, const cudnnFilterDescriptor_t wDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t yDesc,
    cudnnConvolutionFwdAlgo_t algo, std::size_t* sizeInBytes) {
  return workspace("cudnnGetConvolutionForwardWorkspaceSize", Direction::forward, handle, xDesc, wDesc,
                   convDesc, yDesc, algo, sizeInBytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t wDesc, const cudnnTensorDescriptor_t dyDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t dxDesc,
    cudnnConvolutionBwdDataAlgo_t algo, std::size_t* sizeInBytes) {
  return workspace("cudnnGetConvolutionBackwardDataWorkspaceSize", Direction::data, handle, dxDesc, wDesc,
                   convDesc, dyDesc, algo, sizeInBytes);
}

cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(
    cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc, const cudnnTensorDescriptor_t dyDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnFilterDescriptor_t gradDesc,
    cudnnConvolutionBwdFilterAlgo_t algo, std::size_t* sizeInBytes) {
  return workspace("cudnnGetConvolutionBackwardFilterWorkspaceSize", Direction::filter, handle, xDesc,
                   gradDesc, convDesc, dyDesc, algo, sizeInBytes);
}
