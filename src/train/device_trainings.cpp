#include "train/device_trainings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "train/arithmetic.h"
#include "train/cores.h"
#include "train/rank_device.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

struct Trained {
  std::vector<float> weights;
  metrics::RunSummary summary;
};

/// Without a folder, checkpoints and output.
Trained train(comm::World& world, const config::Experiment& experiment, std::optional<std::int64_t> until) {
  Blueprint blueprint;
  world.agree([&] {
    check_ranks(experiment, world.size());
    blueprint = make_blueprint(experiment);
  });
  check_same_data(world, blueprint);
  const CoreUse cores = divide_cores(world, experiment);
  const RankDevice device = make_rank_device(world, blueprint);
  const auto workers = make_workers(world, cores.threads);
  Trainer trainer(world, blueprint,
                  {.backend = *device.backend,
                   .workers = *workers,
                   .max_threads = cores.max_threads,
                   .accelerator = device.accelerator.get(),
                   .choices = device.choices});
  Trained trained;
  trainer.run({}, trained.summary, {.checkpoints = nullptr, .until = until});
  trained.weights.assign(trainer.weights().begin(), trainer.weights().end());
  return trained;
}

}  // namespace

Check compare_training(comm::World& world, const config::Experiment& experiment) {
  constexpr double bound = 1e-4;  // after so few steps, rounding has not grown much
  config::Experiment on_cpu = experiment;
  on_cpu.device.kind = config::DeviceKind::cpu;
  const Trained device = train(world, experiment, compared_steps);
  const Trained host = train(world, on_cpu, compared_steps);
  double worst = 0;
  for (std::size_t i = 0; i < host.weights.size(); ++i) {
    const double error = std::fabs(static_cast<double>(device.weights[i]) - host.weights[i]);
    worst = std::isfinite(error) ? std::max(worst, error) : std::numeric_limits<double>::infinity();
  }
  return {experiment.name, worst <= bound, fmt::format("weights off by at most {:.1e}", worst)};
}

std::optional<KnownTime> known_time(const std::string& experiment, std::int64_t epochs) {
  if (experiment == "mnist_cnn_unshuffled" && epochs == 30) return KnownTime{.published = 82, .aim = 3};
  if (experiment == "mnist_softmax_unshuffled" && epochs == 20) return KnownTime{.published = 18, .aim = 0.5};
  return std::nullopt;
}

TrainingTime time_training(comm::World& world, const config::Experiment& experiment) {
  const Trained trained = train(world, experiment, std::nullopt);
  const bool is_lockstep = experiment.training.reproducibility == config::Reproducibility::lockstep;
  return {.experiment = experiment.name,
          .reproducibility = is_lockstep ? "lockstep" : "run",
          .epochs = trained.summary.epochs_done,
          .seconds = trained.summary.seconds,
          .val_accuracy = trained.summary.last ? trained.summary.last->val_accuracy : std::nullopt,
          .known = known_time(experiment.name, trained.summary.epochs_done)};
}

}  // namespace lockstep::train
