#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "comm/world.h"

namespace lockstep::train {

/// Recomputes the validation metrics of a run from its final weights and prints them on rank 0, beside those
/// that the run recorded for its last epoch. Collective. Throws Error where the folder, its experiment or its
/// weights do not fit.
ExitCode evaluate_run(comm::World& world, const std::string& folder,
                      const std::vector<std::string>& overrides = {});

}  // namespace lockstep::train
