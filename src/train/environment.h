#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "train/machine.h"

namespace lockstep::train {

/// What environment.json says that only the run itself knows.
struct Environment {
  std::string command_line;
  std::string working_directory;  ///< of rank 0: relative names in the experiment start there
  std::chrono::system_clock::time_point started;
  std::vector<Machine> machines;       ///< of each rank, by rank
  std::vector<std::int64_t> threads;   ///< of each rank, by rank
  std::string device;                  ///< with the instruction set in use
  std::vector<std::string> gpus = {};  ///< of each rank, by rank: number and unique id; empty on CPUs
  std::string instruction_set;         ///< that alone
  std::string algorithms = {};         ///< choices_text() of an accelerator
  std::uint64_t arithmetic = 0;        ///< check_same_plans()
  std::string data;                    ///< fingerprint()
  std::string exchange;                ///< how gradients travel: Collective::name()
};

/// environment.json: where and with what a run was made. To the given facts it adds the build, the versions
/// of the libraries and the environment variables that steer them. src/metrics/README.md lists the keys.
std::string environment_json(const Environment& environment);

}  // namespace lockstep::train
