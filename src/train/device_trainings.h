#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/world.h"
#include "config/experiment.h"
#include "train/device_checks.h"

namespace lockstep::train {

/// Of compare_training().
inline constexpr std::int64_t compared_steps = 20;

/// Trains an experiment for its first steps on the GPUs and on the CPUs of the ranks, and compares weights.
/// Collective.
Check compare_training(comm::World& world, const config::Experiment& experiment);

/// What is known of an experiment's time on a GPU.
struct KnownTime {
  double published = 0;  ///< seconds of TensorFlow on a GPU, as whoever published the experiment measured
  double aim = 0;        ///< seconds that Lockstep aims at on a recent GPU, with `reproducibility: run`
};
/// Of the two experiments that were published so, by their names in configs/, with the epochs that they had.
std::optional<KnownTime> known_time(const std::string& experiment, std::int64_t epochs);

/// How long an experiment took, and what came of it.
struct TrainingTime {
  std::string experiment;
  std::string reproducibility;
  std::int64_t epochs = 0;
  double seconds = 0;  ///< validation included, set-up not
  std::optional<double> val_accuracy;
  std::optional<KnownTime> known;
};
/// Trains an experiment on GPUs, without leaving anything behind. Collective.
TrainingTime time_training(comm::World& world, const config::Experiment& experiment);

}  // namespace lockstep::train
