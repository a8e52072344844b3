#pragma once

#include <functional>

#include "base/error.h"
#include "comm/world.h"

namespace lockstep::cli {

/// What a subcommand does once the command line is parsed; returns the exit status.
using Action = std::function<int()>;

/// Whether this process speaks for the job, as far as is known before MPI is started: all ranks were given
/// the same command line. True without a launcher.
bool is_first_rank();

/// For what one process does alone, without MPI: under mpirun the first rank does it, and its exit status is
/// mpirun's; the others end at once and well.
Action on_first_rank(Action action);

/// Runs work on all ranks of the job, between the start and the end of MPI. An Error that the ranks agreed on
/// is reported once, by rank 0; one that only this rank knows of is reported by it and ends the whole job at
/// once.
int on_ranks(const std::function<ExitCode(comm::World&)>& work);

}  // namespace lockstep::cli
