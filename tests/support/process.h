#pragma once

#include <sys/types.h>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace lockstep::testing {

/// How a process ended, and what it printed.
struct ProcessResult {
  int status = -1;         ///< exit status; 128 + signal if a signal ended it
  bool timed_out = false;  ///< it was killed, with all processes of its group
  std::string out, err;
};

struct ProcessOptions {
  std::chrono::seconds timeout{60};
  std::string folder{};                              ///< working directory; empty: this one
  std::map<std::string, std::string> environment{};  ///< added to this process's; an empty value removes
  std::function<void(pid_t)> started{};              ///< called once it runs, on the calling thread
};

/// Runs a program (found through PATH) to its end, in a process group of its own.
ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

/// mpirun with `ranks` ranks of a program, as root or not, on any number of cores.
std::vector<std::string> mpirun(int ranks, const std::vector<std::string>& arguments,
                                const std::vector<std::string>& launcher_options = {});

}  // namespace lockstep::testing
