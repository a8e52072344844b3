#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "device/backend.h"

namespace lockstep::optim {

/// Applies gradients to a slice of the weights, whose state it owns (a rank holds the state of its slice
/// only).
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Sets what is the same for all elements of a step. Steps count from 1 over the whole training.
  virtual void begin_step(std::int64_t step, double learning_rate) = 0;
  /// Updates floats [first, first + weights.size()) of the slab, within the slice, from their mean gradient.
  /// Threads may call it at once for disjoint ranges. False when a gradient, a new weight or new state is not
  /// finite. Allocates nothing.
  virtual bool update(std::int64_t first, std::span<float> weights, std::span<const float> gradient) = 0;
  /// The state, for checkpoints: named slabs ("velocity"; "moment1", "moment2"), each of slice.size() floats.
  /// SGD without momentum has none.
  struct State {
    std::string name;
    std::span<float> values;
  };
  virtual std::vector<State> state() = 0;
};

/// What an update of a step needs, whoever computes it. Steps count from 1 over the whole training.
device::SgdArguments sgd_arguments(const config::Sgd& settings, double learning_rate);
device::AdamWArguments adamw_arguments(const config::AdamW& settings, std::int64_t step,
                                       double learning_rate);
/// Names of the slabs of state that an optimizer keeps, as in Optimizer::state().
std::vector<std::string> state_names(const config::Optimizer& settings);

/// `slice` is the range of the slab whose state this optimizer keeps.
std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& settings, device::Backend& backend,
                                          Range slice);

/// The base learning rate of an optimizer's settings.
double base_learning_rate(const config::Optimizer& settings);

}  // namespace lockstep::optim
