#pragma once

#include <string>
#include <vector>

#include "comm/world.h"
#include "config/experiment.h"
#include "train/run_folder.h"

namespace lockstep::train {

/// The experiment of a run that exists, as rank 0 reads it from the run's folder, which the other ranks need
/// not see, with overrides applied. Data files with relative names are those of the directory in which the
/// run was started or last went on, or of the current one where they are no longer there. Collective. Throws
/// AgreedError(no_input) when there is no such run.
config::Experiment share_recorded_experiment(comm::World& world, const RunFolder& run,
                                             const std::vector<std::string>& overrides = {});

/// What the environment says in which the run ended, or is: experiment.yaml and the final weights are of
/// that. Empty if it does not say.
std::string recorded_text(const RunFolder& run, const char* key);

/// The instruction set that the run last computed with, as rank 0 reads it; `automatic` if it does not say.
/// Collective.
config::InstructionSet share_recorded_instruction_set(comm::World& world, const RunFolder& run);

}  // namespace lockstep::train
