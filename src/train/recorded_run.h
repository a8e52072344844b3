#pragma once

#include "comm/world.h"
#include "config/experiment.h"
#include "train/run_folder.h"

namespace lockstep::train {

/// The experiment of a run that exists, as rank 0 reads it from the run's folder, which the other ranks need
/// not see. Data files with relative names are looked for where the run was started, and from the current
/// directory if that is gone. Collective. Throws AgreedError(no_input) when there is no such run.
config::Experiment share_recorded_experiment(comm::World& world, const RunFolder& run);

}  // namespace lockstep::train
