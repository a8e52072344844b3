#pragma once

#include <string>

#include "config/experiment.h"

namespace lockstep::train {

/// What set-up would decide for this many ranks on this host, as text for a person: layers with shapes,
/// parameters, multiply-adds and implementations; steps, samples, bytes exchanged and memory of each rank.
/// Needs the data files, but neither MPI nor more than one process. Throws the same Errors as training would.
std::string plan_report(const config::Experiment& experiment, int ranks);

}  // namespace lockstep::train
