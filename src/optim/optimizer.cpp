#include "optim/optimizer.h"

#include "optim/adamw.h"
#include "optim/sgd.h"

namespace lockstep::optim {
namespace {

std::unique_ptr<Optimizer> make(const config::Sgd& settings, device::Backend& backend, Range slice) {
  return std::make_unique<Sgd>(settings, backend, slice);
}

std::unique_ptr<Optimizer> make(const config::AdamW& settings, device::Backend& backend, Range slice) {
  return std::make_unique<AdamW>(settings, backend, slice);
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& settings, device::Backend& backend,
                                          Range slice) {
  return std::visit([&](const auto& kind) { return make(kind, backend, slice); }, settings);
}

std::vector<std::string> state_names(const config::Optimizer& settings) {
  if (const auto* sgd = std::get_if<config::Sgd>(&settings))
    return sgd->momentum == 0 ? std::vector<std::string>{} : std::vector<std::string>{"velocity"};
  return {"moment1", "moment2"};
}

double base_learning_rate(const config::Optimizer& settings) {
  return std::visit([](const auto& kind) { return kind.learning_rate; }, settings);
}

}  // namespace lockstep::optim
