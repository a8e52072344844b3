#pragma once

#include <functional>

#include "base/error.h"
#include "comm/world.h"

namespace lockstep::cli {

/// What a subcommand does once the command line is parsed; returns the exit status.
using Action = std::function<int()>;

/// Runs work on all ranks of the job, between the start and the end of MPI. An Error that the ranks agreed on
/// is reported once, by rank 0; one that only this rank knows of is reported by it and ends the whole job at
/// once.
int on_ranks(const std::function<ExitCode(comm::World&)>& work);

}  // namespace lockstep::cli
