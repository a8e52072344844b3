#include "device/cuda/cudnn_convolution.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace lockstep::device::cuda {
namespace {

/// Scratch memory that a pass may take. Passes of a runner share it, runners side by side do not.
constexpr std::size_t workspace_limit = std::size_t{64} << 20U;

/// Whether padding by as much after the last row or column as before the first gives the same outputs: the
/// windows begin where the padding before the first says, so only their number could differ.
bool pads_alike(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t before,
                std::int64_t out) {
  return in + 2 * before >= kernel && (in + 2 * before - kernel) / stride + 1 == out;
}

bool pads_alike(const Conv2dOp& op) {
  return pads_alike(op.in_height, op.kernel_height, op.stride_height, op.pad_top, op.out_height) &&
         pads_alike(op.in_width, op.kernel_width, op.stride_width, op.pad_left, op.out_width);
}

cudnnMathType_t math_type(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return CUDNN_FMA_MATH;
    case Precision::tf32:
      return CUDNN_DEFAULT_MATH;  // rounds floats to TF32 where a device has that
    case Precision::bf16:
      return CUDNN_TENSOR_OP_MATH;
  }
  return CUDNN_FMA_MATH;
}

ConvolutionDescriptor describe_convolution(const Conv2dOp& op, bool padded, Precision precision) {
  cudnnConvolutionDescriptor_t made = nullptr;
  call(cudnnCreateConvolutionDescriptor(&made), "cudnnCreateConvolutionDescriptor");
  ConvolutionDescriptor descriptor(made);
  call(cudnnSetConvolution2dDescriptor(
           made, padded ? 0 : narrow(op.pad_top), padded ? 0 : narrow(op.pad_left), narrow(op.stride_height),
           narrow(op.stride_width), 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
       "cudnnSetConvolution2dDescriptor");
  call(cudnnSetConvolutionMathType(made, math_type(precision)), "cudnnSetConvolutionMathType");
  return descriptor;
}

void check_outputs(const Conv2dOp& op, std::int64_t samples, cudnnConvolutionDescriptor_t convolution,
                   cudnnTensorDescriptor_t src, cudnnFilterDescriptor_t weight) {
  int n = 0, c = 0, h = 0, w = 0;
  call(cudnnGetConvolution2dForwardOutputDim(convolution, src, weight, &n, &c, &h, &w),
       "cudnnGetConvolution2dForwardOutputDim");
  check(n == samples && c == op.out_channels && h == op.out_height && w == op.out_width,
        "cuDNN counts a convolution's outputs as we do");
}

/// Room for what cuDNN has to say of a pass: some algorithms more than once, with other units.
template <class Performance>
using Recommendations = std::array<Performance, 32>;

/// Of what cuDNN recommends, what comes first, in this order, and what is not chosen at all.
///
/// Its own order is by extents alone, and was far from the fastest on an H200: for dx of the MNIST CNN's
/// second convolution, at 128 samples, it has FFT_TILING (57 µs) before FFT (22), and for the weights of one
/// channel's 24 filters ALGO_1 (265) before FFT (28). So it was for the 3×3 and 5×5 kernels that were tried.
/// To measure on the spot would be better, but then a run would not have the same bits twice.
template <class Algorithm>
struct Preferences {
  std::vector<Algorithm> first;
  std::vector<Algorithm> never;
};

/// Winograd's for 3×3 kernels, of fewer multiplications, where there are channels enough for that to show.
/// For 5×5 its tiles have 9×9 outputs, which costs accuracy: results were off by up to 6e-3 of the greatest
/// (3×3: 1e-5; FFT: 1e-6).
template <class Algorithm>
Preferences<Algorithm> preferences(const Conv2dOp& op, Precision precision, Algorithm fused_winograd,
                                   Algorithm winograd, std::initializer_list<Algorithm> others) {
  constexpr std::int64_t many = 16;
  Preferences<Algorithm> chosen;
  const bool is_small = op.kernel_height == 3 && op.kernel_width == 3;
  if (!is_small) chosen.never = {fused_winograd, winograd};
  const bool is_square = op.kernel_height == op.kernel_width && op.kernel_width > 1;
  // With tensor cores cuDNN knows better.
  if (precision != Precision::fp32 || !is_square) return chosen;
  if (is_small && op.in_channels >= many && op.out_channels >= many) chosen.first = {winograd};
  chosen.first.insert(chosen.first.end(), others);
  return chosen;
}

/// `list` is what cuDNN recommends, best first, some algorithms more than once, with other units;
/// `workspace_of` asks it for an algorithm's scratch memory.
template <class Performance, class Algorithm, class WorkspaceOf>
auto choose(std::string_view layer, std::string_view pass, Choices& choices, Precision precision,
            const Preferences<Algorithm>& preferred, std::span<Performance> list,
            const WorkspaceOf& workspace_of) {
  const auto rank = [&](const Performance& candidate) {
    return std::ranges::find(preferred.first, candidate.algo) - preferred.first.begin();
  };
  std::ranges::stable_sort(list, {}, rank);
  const std::optional<int> recorded = choices.recorded(layer, pass);
  bool some_too_large = false;
  for (const Performance& candidate : list) {
    if (recorded && static_cast<int>(candidate.algo) != *recorded) continue;
    if (candidate.status != CUDNN_STATUS_SUCCESS || candidate.determinism != CUDNN_DETERMINISTIC) continue;
    // What holds of plain units need not hold of the others.
    if (precision != Precision::fp32 && candidate.mathType == CUDNN_FMA_MATH) continue;
    const std::optional<std::size_t> workspace = workspace_of(candidate.algo);
    if (!workspace) continue;
    if (!recorded && std::ranges::find(preferred.never, candidate.algo) != preferred.never.end()) continue;
    if (!recorded && *workspace > workspace_limit) {
      some_too_large = true;
      continue;
    }
    choices.add(layer, pass, static_cast<int>(candidate.algo));
    return ConvolutionPass<Algorithm>{candidate.algo, *workspace};
  }
  if (recorded)
    fail(ExitCode::no_device,
         "layer {}: cuDNN {} does not offer algorithm {} for the {} pass on this device, which the run was "
         "begun with: go on on a device of the kind that it began on",
         layer, cudnnGetVersion(), *recorded, pass);
  if (some_too_large)
    fail(ExitCode::no_device,
         "layer {}: what cuDNN {} offers for the {} pass needs more than {} MiB of scratch memory: use a "
         "smaller training.batch or more training.shards",
         layer, cudnnGetVersion(), pass, workspace_limit >> 20U);
  fail(ExitCode::no_device,
       "layer {}: cuDNN {} offers no algorithm for the {} pass that always gives the same bits on this "
       "device: device.precision=fp32 may have one",
       layer, cudnnGetVersion(), pass);
}

}  // namespace

CudnnConvolution::CudnnConvolution(const Conv2dOp& op, std::int64_t samples, Precision precision)
    : op_(op),
      precision_(precision),
      pads_src_(!pads_alike(op)),
      src_height_(op.in_height + (pads_src_ ? op.pad_top + op.pad_bottom : 0)),
      src_width_(op.in_width + (pads_src_ ? op.pad_left + op.pad_right : 0)) {
  const cudnnDataType_t type = precision == Precision::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  src_ = describe_tensor(type, samples, op.in_channels, src_height_, src_width_);
  dst_ = describe_tensor(type, samples, op.out_channels, op.out_height, op.out_width);
  bias_ = describe_tensor(CUDNN_DATA_FLOAT, 1, op.out_channels, 1, 1);
  weight_ = describe_filter(type, op.out_channels, op.in_channels, op.kernel_height, op.kernel_width);
  convolution_ = describe_convolution(op, pads_src_, precision);
  check_outputs(op, samples, convolution(), src(), weight());
}

ForwardPass CudnnConvolution::choose_forward(cudnnHandle_t cudnn, std::string_view layer,
                                             Choices& choices) const {
  Recommendations<cudnnConvolutionFwdAlgoPerf_t> list;
  int count = 0;
  call(cudnnGetConvolutionForwardAlgorithm_v7(cudnn, src(), weight(), convolution(), dst(),
                                              static_cast<int>(list.size()), &count, list.data()),
       "cudnnGetConvolutionForwardAlgorithm_v7");
  const auto workspace_of = [&](cudnnConvolutionFwdAlgo_t algorithm) -> std::optional<std::size_t> {
    std::size_t bytes = 0;
    if (cudnnGetConvolutionForwardWorkspaceSize(cudnn, src(), weight(), convolution(), dst(), algorithm,
                                                &bytes) != CUDNN_STATUS_SUCCESS)
      return std::nullopt;
    return bytes;
  };
  return choose(layer, "forward", choices, precision_,
                preferences(op_, precision_, CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD,
                            CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED,
                            {CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM}),
                std::span(list).first(static_cast<std::size_t>(count)), workspace_of);
}

DataPass CudnnConvolution::choose_data(cudnnHandle_t cudnn, std::string_view layer, Choices& choices) const {
  Recommendations<cudnnConvolutionBwdDataAlgoPerf_t> list;
  int count = 0;
  call(cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn, weight(), dst(), convolution(), src(),
                                                   static_cast<int>(list.size()), &count, list.data()),
       "cudnnGetConvolutionBackwardDataAlgorithm_v7");
  const auto workspace_of = [&](cudnnConvolutionBwdDataAlgo_t algorithm) -> std::optional<std::size_t> {
    std::size_t bytes = 0;
    if (cudnnGetConvolutionBackwardDataWorkspaceSize(cudnn, weight(), dst(), convolution(), src(), algorithm,
                                                     &bytes) != CUDNN_STATUS_SUCCESS)
      return std::nullopt;
    return bytes;
  };
  return choose(layer, "data", choices, precision_,
                preferences(op_, precision_, CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD,
                            CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED,
                            {CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1}),
                std::span(list).first(static_cast<std::size_t>(count)), workspace_of);
}

FilterPass CudnnConvolution::choose_filter(cudnnHandle_t cudnn, std::string_view layer,
                                           Choices& choices) const {
  Recommendations<cudnnConvolutionBwdFilterAlgoPerf_t> list;
  int count = 0;
  call(cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn, src(), dst(), convolution(), weight(),
                                                     static_cast<int>(list.size()), &count, list.data()),
       "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  const auto workspace_of = [&](cudnnConvolutionBwdFilterAlgo_t algorithm) -> std::optional<std::size_t> {
    std::size_t bytes = 0;
    if (cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnn, src(), dst(), convolution(), weight(),
                                                       algorithm, &bytes) != CUDNN_STATUS_SUCCESS)
      return std::nullopt;
    return bytes;
  };
  return choose(layer, "filter", choices, precision_,
                preferences(op_, precision_, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD,
                            CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED,
                            {CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1}),
                std::span(list).first(static_cast<std::size_t>(count)), workspace_of);
}

}  // namespace lockstep::device::cuda
