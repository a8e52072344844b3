#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "device/cpu/block.h"
#include "device/cpu/slab.h"

/// What blocks with weights and perhaps a bias have in common: convolutions and dense layers.
namespace lockstep::device::cpu {

/// Their forward pass: a primitive, the layouts that it reads weights and bias in, its scratch memory.
class WeightedForward {
 public:
  WeightedForward() = default;
  /// Of a primitive that takes src, weights, perhaps a bias, which it reads from the slab as it is, and dst.
  WeightedForward(const dnnl::primitive_desc& forward, const dnnl::engine& engine, const Parameter& weight,
                  const std::optional<Parameter>& bias, Contract& contract);

  /// See Block::load.
  void load(std::span<const float> slab);
  [[nodiscard]] const SlabWeights& weights() const { return weights_; }
  [[nodiscard]] Call bind(const Bindings& bindings) const;

 private:
  dnnl::primitive primitive_;
  SlabWeights weights_, bias_;
  int scratch_ = -1;
};

/// The bias of an operation; `index` is negative where it has none.
std::optional<Parameter> bias_of(int index, const Site& site);

/// Enters into the contract what computing the gradients of weights and bias takes and gives. Returns whether
/// the block's backward pass begins with that of the ReLU that it covers.
bool promise_weight_gradients(int weight, int bias, const Site& site, Contract& contract);

/// For Contract::implementations: what name_implementations() says of the passes, and the ReLU that is
/// covered.
std::vector<std::string> list_implementations(const std::string& forward, const std::string& weights,
                                              const std::string& data, const Site& site);

}  // namespace lockstep::device::cpu
