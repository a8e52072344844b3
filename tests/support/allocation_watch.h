#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace lockstep::testing {

/// Watches malloc and its relatives, operator new among them, in the whole process, with sanitizers too. It
/// is no part of the library of this folder: a program that watches lists support/allocation_watch.cpp among
/// its sources, and its malloc is replaced.
///
/// An allocation is Lockstep's own if Lockstep's code, which is linked statically into the program, asked for
/// it: itself, or through the C, C++ or fmt library. All others were made within a call into a library,
/// oneDNN or MPI.
struct Allocations {
  std::int64_t own = 0;
  std::string first_own;                          ///< the calls that led to the first; empty if there is none
  std::map<std::string, std::int64_t> libraries;  ///< of others, by the library that asked
};

/// Starts to count, on all threads. Libraries that are loaded later count as own.
void start_watching();
/// Stops; returns what was counted since the start.
Allocations stop_watching();

}  // namespace lockstep::testing
