#pragma once

#include <span>

#include "base/partition.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "optim/optimizer.h"

namespace lockstep::train {

/// Arms the experiment's faults (base/fault.h) on each rank. Error(bad_config) on all ranks unless they are
/// `allowed`, or when one names a rank that there is not. Collective; before anything else of the training.
void arm_faults(comm::World& world, const config::Experiment& experiment, bool allowed);

/// Flips what is due in this step of the weights and the state of `optimizer`, of which the rank owns these
/// floats. Error(bad_config) when it has nothing of the kind.
void flip_memory(std::span<float> weights, Range owned, const std::vector<optim::Optimizer::State>& states);

}  // namespace lockstep::train
