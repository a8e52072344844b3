#include "optim/sgd.h"

#include "base/check.h"

namespace lockstep::optim {

device::SgdArguments sgd_arguments(const config::Sgd& settings, double learning_rate) {
  return {.learning_rate = static_cast<float>(learning_rate),
          .momentum = static_cast<float>(settings.momentum),
          .weight_decay = static_cast<float>(settings.weight_decay),
          .nesterov = settings.nesterov};
}

Sgd::Sgd(const config::Sgd& settings, device::Backend& backend, Range slice)
    : settings_(settings), backend_(backend), velocity_(slice, settings.momentum != 0) {}

void Sgd::begin_step(std::int64_t step, double learning_rate) {
  check(step >= 1, "steps count from 1");
  arguments_ = sgd_arguments(settings_, learning_rate);
}

bool Sgd::update(std::int64_t first, std::span<float> weights, std::span<const float> gradient) {
  check(weights.size() == gradient.size(), "each weight has a gradient");
  return backend_.sgd_update(arguments_, weights, gradient, velocity_.at(first, weights.size()));
}

std::vector<Optimizer::State> Sgd::state() {
  if (!velocity_.kept()) return {};
  return {{"velocity", velocity_.all()}};
}

}  // namespace lockstep::optim
