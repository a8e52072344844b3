#include "train/faults.h"

#include "base/error.h"
#include "base/fault.h"

namespace lockstep::train {
namespace {

void flip_states(const std::vector<optim::Optimizer::State>& states) {
  std::size_t all = 0;
  for (const optim::Optimizer::State& state : states) all += state.values.size();
  while (const auto due = fault::take_flip(fault::Target::optimizer_state, all)) {
    std::size_t element = due->element;
    auto state = states.begin();
    for (; element >= state->values.size(); ++state) element -= state->values.size();
    fault::flip(state->values[element], due->bit);
  }
}

}  // namespace

void arm_faults(comm::World& world, const config::Experiment& experiment, bool allowed) {
  world.agree([&] {
    if (!experiment.faults.empty() && !allowed)
      fail(ExitCode::bad_config,
           "{}: the experiment lists faults, which spoil or end the training on purpose: take out `faults`, "
           "or say --allow-faults",
           experiment.source);
    for (std::size_t i = 0; i < experiment.faults.size(); ++i)
      if (experiment.faults[i].rank >= world.size())
        fail(ExitCode::bad_config, "{}: faults.{}.rank is {}, but the ranks are 0 to {}", experiment.source,
             i, experiment.faults[i].rank, world.size() - 1);
  });
  fault::arm(experiment.faults, world.rank(), experiment.seed);
}

void flip_memory(std::span<float> weights, Range owned, const std::vector<optim::Optimizer::State>& states) {
  if (!fault::any()) return;
  const auto first = static_cast<std::size_t>(owned.begin);
  const auto size = static_cast<std::size_t>(owned.size());
  while (const auto due = fault::take_flip(fault::Target::owned_weight, size))
    fault::flip(weights[first + due->element], due->bit);
  while (const auto due = fault::take_flip(fault::Target::copied_weight, weights.size() - size))
    fault::flip(weights[due->element < first ? due->element : due->element + size], due->bit);
  flip_states(states);
}

}  // namespace lockstep::train
