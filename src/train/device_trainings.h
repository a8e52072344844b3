#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "comm/world.h"
#include "config/experiment.h"
#include "tensor/parameters.h"
#include "train/device_checks.h"

namespace lockstep::train {

/// Of compare_training().
inline constexpr std::int64_t compared_steps = 20;

/// How far weights are from those that were wanted, tensor by tensor: the distance by how far training moved
/// the tensor, of the one where that is greatest. (Single weights say little: a max-pool that passes on the
/// other of two equal outputs moves some far.) NaN where something is; nothing where all are equal.
struct WeightsOff {
  double off = 0;
  std::string parameter = {};
};
/// `first`: before training. All are slabs.
WeightsOff compare_weights(const Parameters& parameters, std::span<const float> first,
                           std::span<const float> wanted, std::span<const float> found);

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
