#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "device/cuda/bias.h"
#include "device/cuda/cudnn_convolution.h"
#include "device/cuda/image_copies.h"
#include "device/cuda/layer.h"
#include "device/cuda/pooled_convolution.h"

namespace lockstep::device::cuda {
namespace {

constexpr float one = 1, zero = 0;
constexpr auto float_bytes = static_cast<std::int64_t>(sizeof(float));

ActivationDescriptor describe_relu() {
  cudnnActivationDescriptor_t made = nullptr;
  call(cudnnCreateActivationDescriptor(&made), "cudnnCreateActivationDescriptor");
  ActivationDescriptor descriptor(made);
  // Other than a ReLU of our own it turns a NaN into 0: it can do nothing else here.
  call(cudnnSetActivationDescriptor(made, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0),
       "cudnnSetActivationDescriptor");
  return descriptor;
}

/// By cuDNN. With bfloat16 all its tensors, results too, are of that type, so src, weights and gradients are
/// converted on the way in and out; so is src where it must be padded beforehand.
class Convolution final : public Layer {
 public:
  Convolution(const Conv2dOp& op, const Site& site)
      : cudnn_(op, site.samples, site.precision),
        weight_(site.parameter(op.weight)),
        relu_(site.relu_follows),
        converts_(site.precision == Precision::bf16),
        copies_src_(converts_ || cudnn_.pads_src()),
        frame_{.planes = site.samples * op.in_channels,
               .height = op.in_height,
               .width = op.in_width,
               .padded_height = cudnn_.src_height(),
               .padded_width = cudnn_.src_width(),
               .top = cudnn_.pads_src() ? op.pad_top : 0,
               .left = cudnn_.pads_src() ? op.pad_left : 0},
        outputs_{
            .samples = site.samples, .channels = op.out_channels, .plane = op.out_height * op.out_width} {
    if (op.bias >= 0) bias_ = site.parameter(op.bias);
    // What cuDNN fuses is a bias with a ReLU.
    if (bias_ && relu_ && !converts_) relu_descriptor_ = describe_relu();
    plan_forward(site);
    if (site.backward) plan_backward(op, site);
    name_implementations(site);
  }

  void forward(const Run& run) const override {
    if (copies_src_) copy_src(run);
    if (converts_)
      convert(run.stream, weight_.count, run.weight(weight_), run.buffer<Bfloat16>(weight_copy_));
    const void* const src = src_of(run);
    const void* const weight = weight_of(run);
    void* const workspace = run.buffer<std::byte>(forward_workspace_);
    const cudnnHandle_t cudnn = run.libraries.cudnn();
    if (relu_descriptor_) {
      call(cudnnConvolutionBiasActivationForward(
               cudnn, &one, cudnn_.src(), src, cudnn_.weight(), weight, cudnn_.convolution(),
               forward_.algorithm, workspace, forward_.workspace, &zero, cudnn_.dst(), run.dst, cudnn_.bias(),
               run.weight(*bias_), relu_descriptor_.get(), cudnn_.dst(), run.dst),
           "cudnnConvolutionBiasActivationForward");
      return;
    }
    void* const dst = converts_ ? run.buffer<void>(dst_copy_) : run.dst;
    call(
        cudnnConvolutionForward(cudnn, &one, cudnn_.src(), src, cudnn_.weight(), weight, cudnn_.convolution(),
                                forward_.algorithm, workspace, forward_.workspace, &zero, cudnn_.dst(), dst),
        "cudnnConvolutionForward");
    const float* const bias = bias_ ? run.weight(*bias_) : nullptr;
    if (converts_)
      add_bias(run.stream, outputs_, run.buffer<Bfloat16>(dst_copy_), bias, relu_, run.dst);
    else if (bias != nullptr || relu_)
      add_bias(run.stream, outputs_, run.dst, bias, relu_, run.dst);
  }

  void backward(const Run& run) const override {
    const float* const mask = masks_ ? run.dst : nullptr;
    if (bias_)
      sum_bias_gradient(run.stream, outputs_, mask, run.diff_dst, run.buffer<float>(bias_scratch_),
                        run.gradient_of(*bias_));
    else if (mask != nullptr)
      mask_relu(run.stream, outputs_.count(), mask, run.diff_dst);
    if (converts_) convert(run.stream, outputs_.count(), run.diff_dst, run.buffer<Bfloat16>(diff_dst_copy_));
    weight_gradient(run);
    if (contract_.data_gradient) data_gradient(run);
  }

 private:
  [[nodiscard]] std::int64_t element_bytes() const {
    return static_cast<std::int64_t>(converts_ ? sizeof(Bfloat16) : sizeof(float));
  }

  void plan_forward(const Site& site) {
    forward_ = cudnn_.choose_forward(site.cudnn, site.node.name, site.choices);
    // Of the others it is not said whether they fuse on every device, and cuDNN cannot be asked.
    if (forward_.algorithm != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) relu_descriptor_ = {};
    forward_workspace_ = contract_.add_buffer(static_cast<std::int64_t>(forward_.workspace), Life::forward);
    if (copies_src_)
      src_copy_ = contract_.add_buffer(frame_.padded_cells() * element_bytes(),
                                       site.backward ? Life::whole : Life::forward);
    if (!converts_) return;
    weight_copy_ = contract_.add_buffer(weight_.count * element_bytes(),
                                        site.data_gradient ? Life::whole : Life::forward);
    dst_copy_ = contract_.add_buffer(outputs_.count() * element_bytes(), Life::forward);
  }

  void plan_backward(const Conv2dOp& op, const Site& site) {
    masks_ = relu_ && site.pool == nullptr;
    contract_.backward_reads_src = !copies_src_;
    contract_.backward_reads_dst = masks_;
    contract_.gradients.push_back(op.weight);
    if (op.bias >= 0) {
      contract_.gradients.push_back(op.bias);
      bias_scratch_ = contract_.add_buffer(bias_gradient_scratch(outputs_) * float_bytes, Life::backward);
    }
    if (site.data_gradient) {
      contract_.data_gradient = true;
      data_ = cudnn_.choose_data(site.cudnn, site.node.name, site.choices);
      if (copies_src_)
        diff_src_copy_ = contract_.add_buffer(frame_.padded_cells() * element_bytes(), Life::backward);
    }
    filter_ = cudnn_.choose_filter(site.cudnn, site.node.name, site.choices);
    backward_workspace_ = contract_.add_buffer(
        static_cast<std::int64_t>(std::max(data_.workspace, filter_.workspace)), Life::backward);
    if (!converts_) return;
    diff_dst_copy_ = contract_.add_buffer(outputs_.count() * element_bytes(), Life::backward);
    diff_weight_copy_ = contract_.add_buffer(weight_.count * element_bytes(), Life::backward);
  }

  void name_implementations(const Site& site) {
    std::string name = fmt::format("cudnn: forward {}", static_cast<int>(forward_.algorithm));
    if (contract_.data_gradient) name += fmt::format(", data {}", static_cast<int>(data_.algorithm));
    if (site.backward) name += fmt::format(", filter {}", static_cast<int>(filter_.algorithm));
    contract_.implementations.push_back(std::move(name));
    if (relu_) contract_.implementations.emplace_back("fused");
  }

  void copy_src(const Run& run) const {
    if (converts_)
      pad(run.stream, frame_, run.src, run.buffer<Bfloat16>(src_copy_));
    else
      pad(run.stream, frame_, run.src, run.buffer<float>(src_copy_));
  }

  [[nodiscard]] const void* src_of(const Run& run) const {
    return copies_src_ ? run.buffer<void>(src_copy_) : run.src;
  }
  [[nodiscard]] const void* weight_of(const Run& run) const {
    return converts_ ? run.buffer<void>(weight_copy_) : run.weight(weight_);
  }
  [[nodiscard]] const void* diff_dst_of(const Run& run) const {
    return converts_ ? run.buffer<void>(diff_dst_copy_) : run.diff_dst;
  }

  void weight_gradient(const Run& run) const {
    void* const gradient = converts_ ? run.buffer<void>(diff_weight_copy_) : run.gradient_of(weight_);
    call(cudnnConvolutionBackwardFilter(run.libraries.cudnn(), &one, cudnn_.src(), src_of(run), cudnn_.dst(),
                                        diff_dst_of(run), cudnn_.convolution(), filter_.algorithm,
                                        run.buffer<void>(backward_workspace_), filter_.workspace, &zero,
                                        cudnn_.weight(), gradient),
         "cudnnConvolutionBackwardFilter");
    if (converts_)
      convert(run.stream, weight_.count, run.buffer<Bfloat16>(diff_weight_copy_), run.gradient_of(weight_));
  }

  void data_gradient(const Run& run) const {
    void* const gradient = copies_src_ ? run.buffer<void>(diff_src_copy_) : run.diff_src;
    call(cudnnConvolutionBackwardData(run.libraries.cudnn(), &one, cudnn_.weight(), weight_of(run),
                                      cudnn_.dst(), diff_dst_of(run), cudnn_.convolution(), data_.algorithm,
                                      run.buffer<void>(backward_workspace_), data_.workspace, &zero,
                                      cudnn_.src(), gradient),
         "cudnnConvolutionBackwardData");
    if (converts_)
      crop(run.stream, frame_, run.buffer<Bfloat16>(diff_src_copy_), run.diff_src);
    else if (copies_src_)
      crop(run.stream, frame_, run.buffer<float>(diff_src_copy_), run.diff_src);
  }

  CudnnConvolution cudnn_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  bool relu_;           ///< covers the ReLU behind it
  bool masks_ = false;  ///< backward begins with the ReLU's
  bool converts_;       ///< cuDNN's tensors are of bfloat16
  bool copies_src_;     ///< cuDNN reads a copy of src, padded or converted
  Frame frame_;         ///< of that copy
  Channels outputs_;
  ActivationDescriptor relu_descriptor_;  ///< where cuDNN adds the bias and computes the ReLU
  ForwardPass forward_;
  DataPass data_;
  FilterPass filter_;
  int forward_workspace_ = -1, backward_workspace_ = -1, bias_scratch_ = -1;
  int src_copy_ = -1, weight_copy_ = -1, dst_copy_ = -1;
  int diff_src_copy_ = -1, diff_weight_copy_ = -1, diff_dst_copy_ = -1;
};

}  // namespace

std::unique_ptr<Layer> make_layer(const Conv2dOp& op, const Site& site) {
  if (std::unique_ptr<Layer> pooled = make_pooled_convolution(op, site)) return pooled;
  return std::make_unique<Convolution>(op, site);
}

}  // namespace lockstep::device::cuda
