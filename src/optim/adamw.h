#pragma once

#include "optim/optimizer.h"
#include "optim/state_slice.h"

namespace lockstep::optim {

/// Adam with decoupled weight decay: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization",
/// ICLR 2019, algorithm 2, with the decay multiplied by the scheduled learning rate η as PyTorch and Keras
/// do. In step t:
///
///     m ← β₁ m + (1 − β₁) g
///     v ← β₂ v + (1 − β₂) g²
///     w ← w − η (λ w + m̂ / (√v̂ + ε))   with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
class AdamW : public Optimizer {
 public:
  AdamW(const config::AdamW& settings, device::Backend& backend, Range slice);

  void begin_step(std::int64_t step, double learning_rate) override;
  bool update(std::int64_t first, std::span<float> weights, std::span<const float> gradient) override;
  std::vector<State> state() override;

 private:
  config::AdamW settings_;
  device::Backend& backend_;
  device::AdamWArguments arguments_;
  StateSlice moment1_;
  StateSlice moment2_;
};

}  // namespace lockstep::optim
