#include "device/cpu/dense.h"

#include <optional>
#include <string_view>

#include "device/cpu/fused/dense_block.h"
#include "device/cpu/relu_mask.h"
#include "device/cpu/slab.h"
#include "device/cpu/weighted.h"

namespace lockstep::device::cpu {
namespace {

using Forward = dnnl::inner_product_forward;
using BackwardData = dnnl::inner_product_backward_data;
using BackwardWeights = dnnl::inner_product_backward_weights;

struct Geometry {
  Desc src, weights, bias, dst;
  Geometry(const DenseOp& op, std::int64_t samples)
      : src(plain(Dims{samples, op.in})),
        weights(plain(Dims{op.out, op.in})),
        bias(plain(Dims{op.out})),
        dst(plain(Dims{samples, op.out})) {}
};

Forward::primitive_desc describe_forward(const DenseOp& op, const Site& site, const Geometry& g,
                                         const Desc& weights) {
  dnnl::primitive_attr attributes = common_attributes();
  if (site.relu_follows) append_relu(attributes);
  if (op.bias < 0) return describe<Forward>(site.engine, attributes, forward_kind, g.src, weights, g.dst);
  return describe<Forward>(site.engine, attributes, forward_kind, g.src, weights, g.bias, g.dst);
}

/// Weights are read from the slab, plain, unless packing them opens another implementation (with AVX-512 one
/// that is up to three times as fast for 16 samples) and pays. Not so for large ones in training, which have
/// to be packed in each step. Evaluation packs once, but copies of very large ones would need much memory.
Forward::primitive_desc choose_forward(const DenseOp& op, const Site& site, const Geometry& g) {
  auto in_place = describe_forward(op, site, g, g.weights);
  constexpr std::int64_t most_in_training = (std::int64_t{64} << 10) - 1;
  const std::int64_t most_packed = site.mode == Mode::training ? most_in_training : fused::most_copied;
  if (op.in * op.out > most_packed) return in_place;
  auto packed = describe_forward(op, site, g, any_layout({op.out, op.in}));
  const bool same = std::string_view(in_place.impl_info_str()) == packed.impl_info_str();
  return same ? in_place : packed;
}

class DenseRunner final : public BlockRunner {
 public:
  Call forward_call;
  ReluMask mask;
  SlabGradient weight_gradient, bias_gradient;
  Call weights_call;
  Call data_call;  ///< absent in the lowest layer

  void forward(const Pass& /*pass*/) override { forward_call.run(); }

  void backward(const Pass& pass) override {
    mask.apply();
    if (weights_call) {
      weight_gradient.point_into(pass.gradient);
      bias_gradient.point_into(pass.gradient);
      weights_call.run();
    }
    if (data_call) data_call.run();
  }
};

class Dense final : public Block {
 public:
  Dense(const DenseOp& op, const Site& site)
      : engine_(site.engine), weight_(site.parameter(op.weight)), bias_(bias_of(op.bias, site)) {
    const Geometry geometry(op, site.samples);
    const auto forward = choose_forward(op, site, geometry);
    forward_ = WeightedForward(forward, engine_, weight_, bias_, contract_);
    contract_.src = geometry.src;
    contract_.dst = contract_.diff_dst = geometry.dst;

    const std::string weights_name = site.backward ? plan_weight_gradient(op, site, geometry, forward) : "";
    const std::string data_name = site.data_gradient ? plan_data_gradient(geometry, forward) : "";
    contract_.implementations = list_implementations(forward.impl_info_str(), weights_name, data_name, site);
  }

  void load(std::span<const float> weights, const float* /*packed*/) override {
    forward_.load(weights);
    data_weights_.load(weights);
  }

  [[nodiscard]] std::int64_t shared_bytes() const override { return forward_.weights().bytes(); }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    auto runner = std::make_unique<DenseRunner>();
    runner->forward_call = forward_.bind(bindings);
    if (masks_) runner->mask = ReluMask(bindings.dst, bindings.diff_dst);
    if (backward_weights_) bind_weight_gradient(bindings, *runner);
    if (!backward_data_) return runner;
    runner->data_call = Call(backward_data_, bindings.stream,
                             {{DNNL_ARG_DIFF_DST, bindings.diff_dst},
                              {DNNL_ARG_WEIGHTS, data_weights_.memory()},
                              {DNNL_ARG_DIFF_SRC, bindings.diff_src},
                              {DNNL_ARG_SCRATCHPAD, bindings.buffer(data_scratch_)}});
    return runner;
  }

 private:
  std::string plan_weight_gradient(const DenseOp& op, const Site& site, const Geometry& g,
                                   const Forward::primitive_desc& forward) {
    masks_ = promise_weight_gradients(op.weight, op.bias, site, contract_);
    const auto desc =
        op.bias < 0 ? describe_backward<BackwardWeights>(engine_, forward, g.src, g.weights, g.dst)
                    : describe_backward<BackwardWeights>(engine_, forward, g.src, g.weights, g.bias, g.dst);
    backward_weights_ = BackwardWeights(desc);
    weights_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    return desc.impl_info_str();
  }

  void bind_weight_gradient(const Bindings& bindings, DenseRunner& runner) const {
    runner.weight_gradient = SlabGradient(engine_, weight_);
    if (bias_) runner.bias_gradient = SlabGradient(engine_, *bias_);
    runner.weights_call = Call(backward_weights_, bindings.stream,
                               {{DNNL_ARG_SRC, bindings.src},
                                {DNNL_ARG_DIFF_DST, bindings.diff_dst},
                                {DNNL_ARG_DIFF_WEIGHTS, runner.weight_gradient.memory()},
                                {DNNL_ARG_DIFF_BIAS, runner.bias_gradient.memory()},
                                {DNNL_ARG_SCRATCHPAD, bindings.buffer(weights_scratch_)}});
  }

  std::string plan_data_gradient(const Geometry& g, const Forward::primitive_desc& forward) {
    const auto desc = describe_backward<BackwardData>(engine_, forward, g.src, g.weights, g.dst);
    backward_data_ = BackwardData(desc);
    data_weights_ = SlabWeights(engine_, weight_, g.weights);
    contract_.diff_src = g.src;
    data_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    return desc.impl_info_str();
  }

  dnnl::engine engine_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  WeightedForward forward_;
  dnnl::primitive backward_weights_, backward_data_;  ///< where something flows back
  SlabWeights data_weights_;
  bool masks_ = false;  ///< backward begins with the ReLU's
  int weights_scratch_ = -1, data_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Block> make_block(const DenseOp& op, const Site& site) {
  if (auto own = fused::make_dense_block(op, site)) return own;
  return std::make_unique<Dense>(op, site);
}

}  // namespace lockstep::device::cpu
