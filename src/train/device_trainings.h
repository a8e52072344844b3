#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/world.h"
#include "config/experiment.h"
#include "train/device_checks.h"

namespace lockstep::train {

/// Trains an experiment for its first steps on the GPUs and on the CPUs of the ranks, and compares weights.
/// Collective.
Check compare_training(comm::World& world, const config::Experiment& experiment);

/// How long an experiment took, and what came of it.
struct TrainingTime {
  std::string experiment;
  std::string reproducibility;
  std::int64_t epochs = 0;
  double seconds = 0;  ///< validation included, set-up not
  std::optional<double> val_accuracy;
};
/// Trains an experiment on GPUs, without leaving anything behind. Collective.
TrainingTime time_training(comm::World& world, const config::Experiment& experiment);

}  // namespace lockstep::train
