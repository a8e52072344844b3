#include "device/cpu/weighted.h"

namespace lockstep::device::cpu {

WeightedForward::WeightedForward(const dnnl::primitive_desc& forward, const dnnl::engine& engine,
                                 const Parameter& weight, const std::optional<Parameter>& bias,
                                 Contract& contract)
    : primitive_(forward),
      weights_(engine, weight, forward.weights_desc(0)),
      scratch_(contract.add_buffer(forward.scratchpad_desc(), Life::forward)) {
  if (bias) bias_ = SlabWeights(engine, *bias, plain(*bias));
}

void WeightedForward::load(std::span<const float> slab) {
  weights_.load(slab);
  bias_.load(slab);
}

Call WeightedForward::bind(const Bindings& bindings) const {
  return {primitive_,
          bindings.stream,
          {{DNNL_ARG_SRC, bindings.src},
           {DNNL_ARG_WEIGHTS, weights_.memory()},
           {DNNL_ARG_BIAS, bias_.memory()},
           {DNNL_ARG_DST, bindings.dst},
           {DNNL_ARG_SCRATCHPAD, bindings.buffer(scratch_)}}};
}

std::optional<Parameter> bias_of(int index, const Site& site) {
  return index < 0 ? std::nullopt : std::optional(site.parameter(index));
}

bool promise_weight_gradients(int weight, int bias, const Site& site, Contract& contract) {
  const bool masks = site.relu_follows && !site.pool_masks_relu;
  contract.backward_reads_src = true;
  contract.backward_reads_dst = masks;
  contract.gradients.push_back(weight);
  if (bias >= 0) contract.gradients.push_back(bias);
  return masks;
}

std::vector<std::string> list_implementations(const std::string& forward, const std::string& weights,
                                              const std::string& data, const Site& site) {
  std::vector<std::string> names{name_implementations(forward, weights, data)};
  if (site.relu_follows) names.emplace_back("fused");
  return names;
}

}  // namespace lockstep::device::cpu
