#include "device/cpu/convolution.h"

#include <optional>

#include "device/cpu/fused/fused_convolution.h"
#include "device/cpu/relu_mask.h"
#include "device/cpu/slab.h"
#include "device/cpu/weighted.h"

namespace lockstep::device::cpu {
namespace {

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

/// The geometry as oneDNN takes it, layouts left open.
struct Geometry {
  Desc src, weights, bias, dst;
  Dims stride, padding_before, padding_after;

  Geometry(const Conv2dOp& op, std::int64_t samples)
      : src(any_layout({samples, op.in_channels, op.in_height, op.in_width})),
        weights(any_layout({op.out_channels, op.in_channels, op.kernel_height, op.kernel_width})),
        bias(plain(Dims{op.out_channels})),
        dst(any_layout({samples, op.out_channels, op.out_height, op.out_width})),
        stride{op.stride_height, op.stride_width},
        padding_before{op.pad_top, op.pad_left},
        padding_after{op.pad_bottom, op.pad_right} {}
};

constexpr auto direct = dnnl::algorithm::convolution_direct;

Forward::primitive_desc describe_forward(const Conv2dOp& op, const Site& site, const Geometry& g) {
  dnnl::primitive_attr attributes = common_attributes();
  if (site.relu_follows) append_relu(attributes);
  if (op.bias < 0)
    return describe<Forward>(site.engine, attributes, forward_kind, direct, g.src, g.weights, g.dst, g.stride,
                             g.padding_before, g.padding_after);
  return describe<Forward>(site.engine, attributes, forward_kind, direct, g.src, g.weights, g.bias, g.dst,
                           g.stride, g.padding_before, g.padding_after);
}

BackwardWeights::primitive_desc describe_backward_weights(const Conv2dOp& op, const Site& site,
                                                          const Geometry& g,
                                                          const Forward::primitive_desc& forward) {
  if (op.bias < 0)
    return describe_backward<BackwardWeights>(site.engine, forward, direct, g.src, g.weights, g.dst, g.stride,
                                              g.padding_before, g.padding_after);
  return describe_backward<BackwardWeights>(site.engine, forward, direct, g.src, g.weights, g.bias, g.dst,
                                            g.stride, g.padding_before, g.padding_after);
}

/// A tensor in the layout that a backward primitive prefers, where that is not the forward pass's.
struct Converted {
  Reorder reorder;
  int buffer = -1, scratch = -1;

  Converted() = default;
  Converted(const dnnl::engine& engine, const Desc& from, const Desc& to, Contract& contract)
      : reorder(engine, from, to) {
    if (!reorder.needed()) return;
    buffer = contract.add_buffer(to, Life::backward);
    scratch = contract.add_buffer(reorder.scratch(), Life::backward);
  }
  /// Where the primitive finds it: in its buffer, or where it was.
  [[nodiscard]] dnnl::memory memory(const Bindings& bindings, const dnnl::memory& original) const {
    return reorder.needed() ? bindings.buffer(buffer) : original;
  }
  [[nodiscard]] Call bind(const Bindings& bindings, const dnnl::memory& original) const {
    return reorder.bind(bindings.stream, original, bindings.buffer(buffer), bindings.buffer(scratch));
  }
};

class ConvolutionRunner final : public BlockRunner {
 public:
  Call forward_call;
  ReluMask mask;
  SlabGradient weight_gradient, bias_gradient;
  /// In this order. The data gradient is absent in the lowest layer, reorders where layouts agree.
  Call convert_src, convert_diff_dst, convert_diff_dst_for_data, weights_call, unpack_weights, data_call;

  void forward(const Pass& /*pass*/) override { forward_call.run(); }

  void backward(const Pass& pass) override {
    mask.apply();
    weight_gradient.point_into(pass.gradient);
    bias_gradient.point_into(pass.gradient);
    for (const Call* call : {&convert_src, &convert_diff_dst, &convert_diff_dst_for_data, &weights_call,
                             &unpack_weights, &data_call})
      if (*call) call->run();
  }
};

class Convolution final : public Block {
 public:
  Convolution(const Conv2dOp& op, const Site& site)
      : engine_(site.engine), weight_(site.parameter(op.weight)), bias_(bias_of(op.bias, site)) {
    const Geometry geometry(op, site.samples);
    const auto forward = describe_forward(op, site, geometry);
    forward_ = WeightedForward(forward, engine_, weight_, bias_, contract_);
    contract_.src = forward.src_desc();
    contract_.dst = contract_.diff_dst = forward.dst_desc();

    const std::string weights_name = site.backward ? plan_weight_gradient(op, site, geometry, forward) : "";
    const std::string data_name = site.data_gradient ? plan_data_gradient(site, geometry, forward) : "";
    contract_.implementations = list_implementations(forward.impl_info_str(), weights_name, data_name, site);
  }

  void load(std::span<const float> weights, const float* /*packed*/) override {
    forward_.load(weights);
    data_weights_.load(weights);
  }

  [[nodiscard]] std::int64_t shared_bytes() const override {
    return forward_.weights().bytes() + data_weights_.bytes();
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    auto runner = std::make_unique<ConvolutionRunner>();
    runner->forward_call = forward_.bind(bindings);
    if (backward_weights_) bind_backward(bindings, *runner);
    return runner;
  }

 private:
  std::string plan_weight_gradient(const Conv2dOp& op, const Site& site, const Geometry& geometry,
                                   const Forward::primitive_desc& forward) {
    const auto desc = describe_backward_weights(op, site, geometry, forward);
    backward_weights_ = BackwardWeights(desc);
    masks_ = promise_weight_gradients(op.weight, op.bias, site, contract_);
    src_ = Converted(engine_, contract_.src, desc.src_desc(), contract_);
    diff_dst_ = Converted(engine_, contract_.dst, desc.diff_dst_desc(), contract_);
    weights_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    unpack_ = Reorder(engine_, desc.diff_weights_desc(), plain(weight_));
    if (unpack_.needed()) {
      packed_gradient_ = contract_.add_buffer(desc.diff_weights_desc(), Life::backward);
      unpack_scratch_ = contract_.add_buffer(unpack_.scratch(), Life::backward);
    }
    return desc.impl_info_str();
  }

  std::string plan_data_gradient(const Site& site, const Geometry& g,
                                 const Forward::primitive_desc& forward) {
    const auto desc = describe_backward<BackwardData>(site.engine, forward, direct, g.src, g.weights, g.dst,
                                                      g.stride, g.padding_before, g.padding_after);
    backward_data_ = BackwardData(desc);
    data_shares_diff_dst_ =
        diff_dst_.reorder.needed() &&
        contract_.buffers[static_cast<std::size_t>(diff_dst_.buffer)].desc == desc.diff_dst_desc();
    if (!data_shares_diff_dst_)
      data_diff_dst_ = Converted(engine_, contract_.dst, desc.diff_dst_desc(), contract_);
    data_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    contract_.diff_src = desc.diff_src_desc();
    shares_weights_ = desc.weights_desc() == forward_.weights().memory().get_desc();
    if (!shares_weights_) data_weights_ = SlabWeights(engine_, weight_, desc.weights_desc());
    return desc.impl_info_str();
  }

  void bind_backward(const Bindings& bindings, ConvolutionRunner& runner) const {
    if (masks_) runner.mask = ReluMask(bindings.dst, bindings.diff_dst);
    runner.weight_gradient = SlabGradient(engine_, weight_);
    if (bias_) runner.bias_gradient = SlabGradient(engine_, *bias_);
    runner.convert_src = src_.bind(bindings, bindings.src);
    runner.convert_diff_dst = diff_dst_.bind(bindings, bindings.diff_dst);
    const dnnl::memory diff_dst = diff_dst_.memory(bindings, bindings.diff_dst);
    const dnnl::memory gradient =
        unpack_.needed() ? bindings.buffer(packed_gradient_) : runner.weight_gradient.memory();
    runner.weights_call = Call(backward_weights_, bindings.stream,
                               {{DNNL_ARG_SRC, src_.memory(bindings, bindings.src)},
                                {DNNL_ARG_DIFF_DST, diff_dst},
                                {DNNL_ARG_DIFF_WEIGHTS, gradient},
                                {DNNL_ARG_DIFF_BIAS, runner.bias_gradient.memory()},
                                {DNNL_ARG_SCRATCHPAD, bindings.buffer(weights_scratch_)}});
    runner.unpack_weights = unpack_.bind(bindings.stream, gradient, runner.weight_gradient.memory(),
                                         bindings.buffer(unpack_scratch_));
    if (!backward_data_) return;
    runner.convert_diff_dst_for_data = data_diff_dst_.bind(bindings, bindings.diff_dst);
    runner.data_call =
        Call(backward_data_, bindings.stream,
             {{DNNL_ARG_DIFF_DST,
               data_shares_diff_dst_ ? diff_dst : data_diff_dst_.memory(bindings, bindings.diff_dst)},
              {DNNL_ARG_WEIGHTS, shares_weights_ ? forward_.weights().memory() : data_weights_.memory()},
              {DNNL_ARG_DIFF_SRC, bindings.diff_src},
              {DNNL_ARG_SCRATCHPAD, bindings.buffer(data_scratch_)}});
  }

  dnnl::engine engine_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  WeightedForward forward_;
  dnnl::primitive backward_weights_, backward_data_;
  SlabWeights data_weights_;
  bool shares_weights_ = false;  ///< forward and data gradient read the same packed copy
  bool masks_ = false;           ///< backward begins with the ReLU's
  Converted src_, diff_dst_, data_diff_dst_;
  bool data_shares_diff_dst_ = false;
  Reorder unpack_;
  int weights_scratch_ = -1, data_scratch_ = -1;
  int packed_gradient_ = -1, unpack_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Block> make_block(const Conv2dOp& op, const Site& site) {
  if (auto fused = fused::make_fused_convolution(op, site)) return fused;
  return std::make_unique<Convolution>(op, site);
}

}  // namespace lockstep::device::cpu
