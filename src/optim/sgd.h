#pragma once

#include "optim/optimizer.h"
#include "optim/state_slice.h"

namespace lockstep::optim {

/// Stochastic gradient descent with learning rate η, momentum μ and L2 weight decay λ:
///
///     g ← g + λ w
///     v ← μ v + g
///     w ← w − η (g + μ v)   with nesterov
///     w ← w − η v           without
///
/// This is Nesterov's momentum as PyTorch, TensorFlow and Keras write it (I. Sutskever et al., "On the
/// importance of initialization and momentum in deep learning", ICML 2013, with the weights taken at the
/// look-ahead point and the rate outside of the velocity).
class Sgd : public Optimizer {
 public:
  Sgd(const config::Sgd& settings, device::Backend& backend, Range slice);

  void begin_step(std::int64_t step, double learning_rate) override;
  bool update(std::int64_t first, std::span<float> weights, std::span<const float> gradient) override;
  std::vector<State> state() override;

 private:
  config::Sgd settings_;
  device::Backend& backend_;
  device::SgdArguments arguments_;
  StateSlice velocity_;  ///< holds nothing without momentum: then v is g
};

}  // namespace lockstep::optim
