#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/world.h"
#include "config/experiment.h"

namespace lockstep::train {

/// What `lockstep doctor --gpu` is asked.
struct DoctorOptions {
  std::vector<config::Experiment> experiments;  ///< trained for some steps, and compared with the CPU
  std::vector<std::string> not_run;             ///< experiments that are not, and why
  bool published = false;                       ///< train them in full as well, and tell how long it took
  std::optional<std::string> json;              ///< a file to write the same to, as JSON
};

/// Tells what the GPUs of this job's ranks are, whether they compute what the CPU does, and how fast they
/// are; rank 0 prints it. Collective. Returns success; internal if a check failed. Where
/// there is no GPU to use, says so together with what is known, and returns no_device.
ExitCode run_doctor(comm::World& world, const DoctorOptions& options);

}  // namespace lockstep::train
