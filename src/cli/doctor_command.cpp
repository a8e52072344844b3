#include "cli/doctor_command.h"

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/doctor.h"
#include "train/run.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  bool gpu = false;
  bool published = false;
  std::optional<std::string> json;
};

/// The experiments as they were published, on GPUs. Collective.
train::DoctorOptions share_options(comm::World& world, const Options& options) {
  train::DoctorOptions shared{.experiments = {}, .published = options.published, .json = options.json};
  for (const std::string& file : options.files)
    shared.experiments.push_back(train::share_experiment(world, file, {"device.kind=cuda"}));
  return shared;
}

}  // namespace

void add_doctor_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Tell whether the GPUs of the ranks compute what CPUs do, and how fast they are");
  command->add_flag("--gpu", options->gpu, "Examine GPUs: all that there is to examine yet")->required();
  command->add_option("files", options->files,
                      "Experiment files (YAML) to train for some steps, on GPUs and on CPUs");
  command->add_flag("--published", options->published,
                    "Train the experiments in full too, and tell how long it took");
  command->add_option("--json", options->json, "Write the same to this file, as JSON");
  command->footer(
      "The exit status is 0 when all checks passed, 70 when one failed, and 69 when there is no GPU to use.\n"
      "\n"
      "Examples:\n"
      "  lockstep doctor --gpu\n"
      "  mpirun -n 2 lockstep doctor --gpu configs/mnist_cnn.yaml configs/mnist_softmax.yaml --json "
      "gpu.json");
  command->callback([options, &action] {
    action = [options] {
      return on_ranks(
          [&](comm::World& world) { return train::run_doctor(world, share_options(world, *options)); });
    };
  });
}

}  // namespace lockstep::cli
