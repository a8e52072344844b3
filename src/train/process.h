#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::train {

/// The name by which this process was started: what to type to start it again.
std::string program_name();

/// Largest resident memory of this process so far (VmHWM), in bytes. Not getrusage(): its figure includes the
/// parent's from before exec.
std::int64_t peak_memory_bytes();

/// Seconds since this process was started, to a hundredth; loading of libraries and MPI's start included.
double process_age_seconds();

/// Whether a variable was set, and not empty, when this process was started. Not getenv(): without mpirun,
/// MPI plays it and sets the same variables by itself.
bool was_started_with(std::string_view variable);

/// The words that this process was started with, separated by spaces.
std::string command_line();

}  // namespace lockstep::train
