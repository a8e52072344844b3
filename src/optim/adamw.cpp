#include "optim/adamw.h"

#include "base/check.h"
#include "optim/integer_power.h"

namespace lockstep::optim {
namespace {

/// 1 / (1 − βᵗ) of the β that the update uses, which is rounded to float: of β itself it would leave v̂ off by
/// 5e-5 where β₂ is 0.999.
float correction(float beta, std::int64_t step) {
  return static_cast<float>(1 / (1 - integer_power(beta, step)));
}

}  // namespace

AdamW::AdamW(const config::AdamW& settings, device::Backend& backend, Range slice)
    : backend_(backend), moment1_(slice), moment2_(slice) {
  arguments_.beta1 = static_cast<float>(settings.beta1);
  arguments_.beta2 = static_cast<float>(settings.beta2);
  arguments_.epsilon = static_cast<float>(settings.epsilon);
  arguments_.weight_decay = static_cast<float>(settings.weight_decay);
}

void AdamW::begin_step(std::int64_t step, double learning_rate) {
  check(step >= 1, "steps count from 1");
  arguments_.learning_rate = static_cast<float>(learning_rate);
  arguments_.correction1 = correction(arguments_.beta1, step);
  arguments_.correction2 = correction(arguments_.beta2, step);
}

bool AdamW::update(std::int64_t first, std::span<float> weights, std::span<const float> gradient) {
  check(weights.size() == gradient.size(), "each weight has a gradient");
  return backend_.adamw_update(arguments_, weights, gradient, moment1_.at(first, weights.size()),
                               moment2_.at(first, weights.size()));
}

std::vector<Optimizer::State> AdamW::state() {
  return {{"moment1", moment1_.all()}, {"moment2", moment2_.all()}};
}

}  // namespace lockstep::optim
