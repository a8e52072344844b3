#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "train/beginning.h"

namespace lockstep::train {

/// The experiment that rank 0 reads from `path`, with overrides applied, on all ranks. Collective.
config::Experiment share_experiment(comm::World& world, const std::string& path,
                                    const std::vector<std::string>& overrides);

/// What is asked for besides the experiment. Rank 0's; the others follow it.
struct Request {
  Beginning beginning;
  bool profile = false;  ///< print where the time of the steps went
};

/// Trains an experiment on all ranks, with everything a run leaves behind: the folder, the metrics on the
/// terminal and in files, the final weights, the summary. Collective. Returns success, or preempted after a
/// signal; throws Error, the same on all ranks where it can be agreed on.
ExitCode run_training(comm::World& world, const config::Experiment& experiment, const Request& request);

}  // namespace lockstep::train
