#include "device/cpu/dense.h"

#include <optional>
#include <string_view>
#include <variant>

#include "device/cpu/elementwise.h"
#include "device/cpu/fused/joint_dense.h"
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

/// Own kernels read all weights again for every few samples: with many samples, or the packed weights of
/// evaluation, oneDNN's product is faster. For the plan of one number of samples the choice is the same
/// everywhere.
bool is_own_forward(const DenseOp& op, const Site& site) {
  constexpr std::int64_t few_samples = 32;
  return site.mode == Mode::training && site.samples <= few_samples && fused::is_joint(op, site.convolutions);
}

/// Weights are read from the slab, plain, unless packing them opens another implementation (with AVX-512 one
/// that is up to three times as fast for 16 samples) and pays. Not so for large ones in training: packing
/// them in each step would cost what it gains. Evaluation packs once, but copies of very large ones would
/// need much memory.
Forward::primitive_desc choose_forward(const DenseOp& op, const Site& site, const Geometry& g) {
  auto in_place = describe_forward(op, site, g, g.weights);
  constexpr std::int64_t most_copied = std::int64_t{4} << 20;
  const std::int64_t most_packed = site.mode == Mode::training ? fused::large_layer - 1 : most_copied;
  if (op.in * op.out > most_packed) return in_place;
  auto packed = describe_forward(op, site, g, any_layout({op.out, op.in}));
  const bool same = std::string_view(in_place.impl_info_str()) == packed.impl_info_str();
  return same ? in_place : packed;
}

/// The gradients of weights and bias by oneDNN.
class PrimitiveGradient {
 public:
  SlabGradient weights, bias;
  Call call;

  void compute(const Pass& pass) {
    weights.point_into(pass.gradient);
    bias.point_into(pass.gradient);
    call.run();
  }
};

/// The same by own kernels, or left to be computed for many shards at once.
class OwnGradient {
 public:
  OwnGradient(const fused::JointDense& layer, const std::optional<Parameter>& bias, std::int64_t samples,
              std::int64_t out, const dnnl::memory& src, const dnnl::memory& diff_dst,
              const dnnl::memory& scratch)
      : layer_(layer),
        bias_(bias),
        samples_(samples),
        out_(out),
        src_(src),
        diff_dst_(diff_dst),
        scratch_(scratch) {}

  void compute(const Pass& pass) {
    const float* const x = floats(src_);  // the caller's images lie elsewhere in each run
    const float* const dy = floats(diff_dst_);
    if (bias_) sum_rows(dy, samples_, out_, pass.gradient + bias_->offset);
    if (pass.kept != nullptr)
      layer_.keep(samples_, x, dy, pass.kept);
    else
      layer_.compute(samples_, x, dy, floats(scratch_), pass.gradient);
  }

 private:
  const fused::JointDense& layer_;
  const std::optional<Parameter>& bias_;
  std::int64_t samples_, out_;
  dnnl::memory src_, diff_dst_, scratch_;
};

/// What the forward pass by own kernels reads of the slab that was loaded last.
struct LoadedWeights {
  const float* weights = nullptr;
  const float* bias = nullptr;
};

/// The forward pass by own kernels.
class OwnForward {
 public:
  OwnForward(const fused::DenseExtents& extents, std::int64_t samples, bool relu, const LoadedWeights& loaded,
             const dnnl::memory& src, const dnnl::memory& dst, const dnnl::memory& scratch)
      : extents_(extents),
        samples_(samples),
        relu_(relu),
        loaded_(loaded),
        src_(src),
        dst_(dst),
        scratch_(scratch) {}

  void compute() const {
    fused::kernels().dense_forward.compute(extents_, samples_,
                                           {.x = floats(src_),
                                            .weights = loaded_.weights,
                                            .bias = loaded_.bias,
                                            .relu = relu_,
                                            .y = floats(dst_),
                                            .workspace = floats(scratch_)});
  }

 private:
  fused::DenseExtents extents_;
  std::int64_t samples_;
  bool relu_;
  const LoadedWeights& loaded_;
  dnnl::memory src_, dst_, scratch_;
};

class DenseRunner final : public BlockRunner {
 public:
  std::optional<OwnForward> own_forward;
  Call forward_call;  ///< else
  ReluMask mask;
  std::variant<std::monostate, PrimitiveGradient, OwnGradient> gradient;
  Call data_call;  ///< absent in the lowest layer

  void forward(const Pass& /*pass*/) override {
    if (own_forward)
      own_forward->compute();
    else
      forward_call.run();
  }

  void backward(const Pass& pass) override {
    mask.apply();
    if (auto* primitive = std::get_if<PrimitiveGradient>(&gradient)) primitive->compute(pass);
    if (auto* own = std::get_if<OwnGradient>(&gradient)) own->compute(pass);
    if (data_call) data_call.run();
  }
};

class Dense final : public Block {
 public:
  Dense(const DenseOp& op, const Site& site)
      : engine_(site.engine),
        samples_(site.samples),
        out_(op.out),
        weight_(site.parameter(op.weight)),
        bias_(bias_of(op.bias, site)) {
    const Geometry geometry(op, site.samples);
    const auto forward = choose_forward(op, site, geometry);
    std::string forward_name = forward.impl_info_str();
    if (is_own_forward(op, site)) {
      own_forward_ = {.in = op.in, .out = op.out};
      relu_ = site.relu_follows;
      forward_scratch_ = contract_.add_buffer(
          plain(Dims{fused::kernels().dense_forward.workspace(*own_forward_)}), Life::forward);
      forward_name = "lockstep:dense";
    } else {
      forward_ = WeightedForward(forward, engine_, weight_, bias_, contract_);
    }
    contract_.src = geometry.src;
    contract_.dst = contract_.diff_dst = geometry.dst;

    const std::string weights_name = site.backward ? plan_weight_gradient(op, site, geometry, forward) : "";
    const std::string data_name = site.data_gradient ? plan_data_gradient(op, geometry, forward) : "";
    contract_.implementations = list_implementations(forward_name, weights_name, data_name, site);
  }

  void load_piece(std::span<const float> weights, std::int64_t /*piece*/) override {
    loaded_ = {.weights = weights.data() + weight_.offset,
               .bias = bias_ ? weights.data() + bias_->offset : nullptr};
    if (!own_forward_) forward_.load(weights);
    data_weights_.load(weights);
  }

  [[nodiscard]] std::int64_t shared_bytes() const override { return forward_.weights().bytes(); }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override {
    auto runner = std::make_unique<DenseRunner>();
    if (own_forward_)
      runner->own_forward.emplace(*own_forward_, samples_, relu_, loaded_, bindings.src, bindings.dst,
                                  bindings.buffer(forward_scratch_));
    else
      runner->forward_call = forward_.bind(bindings);
    if (masks_) runner->mask = ReluMask(bindings.dst, bindings.diff_dst);
    if (own_gradient_)
      runner->gradient.emplace<OwnGradient>(*own_gradient_, bias_, samples_, out_, bindings.src,
                                            bindings.diff_dst, bindings.buffer(weights_scratch_));
    if (backward_weights_) bind_weight_gradient(bindings, runner->gradient.emplace<PrimitiveGradient>());
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
    if (fused::is_joint(op, site.convolutions)) {
      own_gradient_.emplace(site.network, site.node, site.convolutions);
      weights_scratch_ =
          contract_.add_buffer(plain(Dims{own_gradient_->own() * site.samples}), Life::backward);
      return "lockstep:shards_together";
    }
    const auto desc =
        op.bias < 0 ? describe_backward<BackwardWeights>(engine_, forward, g.src, g.weights, g.dst)
                    : describe_backward<BackwardWeights>(engine_, forward, g.src, g.weights, g.bias, g.dst);
    backward_weights_ = BackwardWeights(desc);
    weights_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    return desc.impl_info_str();
  }

  void bind_weight_gradient(const Bindings& bindings, PrimitiveGradient& gradient) const {
    gradient.weights = SlabGradient(engine_, weight_);
    if (bias_) gradient.bias = SlabGradient(engine_, *bias_);
    gradient.call = Call(backward_weights_, bindings.stream,
                         {{DNNL_ARG_SRC, bindings.src},
                          {DNNL_ARG_DIFF_DST, bindings.diff_dst},
                          {DNNL_ARG_DIFF_WEIGHTS, gradient.weights.memory()},
                          {DNNL_ARG_DIFF_BIAS, gradient.bias.memory()},
                          {DNNL_ARG_SCRATCHPAD, bindings.buffer(weights_scratch_)}});
  }

  std::string plan_data_gradient(const DenseOp& /*op*/, const Geometry& g,
                                 const Forward::primitive_desc& forward) {
    const auto desc = describe_backward<BackwardData>(engine_, forward, g.src, g.weights, g.dst);
    backward_data_ = BackwardData(desc);
    data_weights_ = SlabWeights(engine_, weight_, g.weights);
    contract_.diff_src = g.src;
    data_scratch_ = contract_.add_buffer(desc.scratchpad_desc(), Life::backward);
    return desc.impl_info_str();
  }

  dnnl::engine engine_;
  std::int64_t samples_, out_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  std::optional<fused::DenseExtents> own_forward_;
  bool relu_ = false;                              ///< that own kernels compute along the way
  LoadedWeights loaded_;                           ///< for them
  WeightedForward forward_;                        ///< else
  std::optional<fused::JointDense> own_gradient_;  ///< else, where something flows back:
  dnnl::primitive backward_weights_, backward_data_;
  SlabWeights data_weights_;
  bool masks_ = false;  ///< backward begins with the ReLU's
  int forward_scratch_ = -1, weights_scratch_ = -1, data_scratch_ = -1;
};

}  // namespace

std::unique_ptr<Block> make_block(const DenseOp& op, const Site& site) {
  return std::make_unique<Dense>(op, site);
}

}  // namespace lockstep::device::cpu
