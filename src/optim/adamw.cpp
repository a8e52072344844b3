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

device::AdamWArguments adamw_arguments(const config::AdamW& settings, std::int64_t step,
                                       double learning_rate) {
  const auto beta1 = static_cast<float>(settings.beta1);
  const auto beta2 = static_cast<float>(settings.beta2);
  return {.learning_rate = static_cast<float>(learning_rate),
          .beta1 = beta1,
          .beta2 = beta2,
          .epsilon = static_cast<float>(settings.epsilon),
          .weight_decay = static_cast<float>(settings.weight_decay),
          .correction1 = correction(beta1, step),
          .correction2 = correction(beta2, step)};
}

AdamW::AdamW(const config::AdamW& settings, device::Backend& backend, Range slice)
    : settings_(settings), backend_(backend), moment1_(slice), moment2_(slice) {}

void AdamW::begin_step(std::int64_t step, double learning_rate) {
  check(step >= 1, "steps count from 1");
  arguments_ = adamw_arguments(settings_, step, learning_rate);
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
