#include "cli/doctor_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <array>
#include <filesystem>
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

constexpr std::array published{"configs/mnist_cnn_unshuffled.yaml", "configs/mnist_softmax_unshuffled.yaml"};

/// The experiments, on GPUs. If none are named, the two that were published with their times on a GPU, in
/// full, as far as they and their data are here. Collective.
train::DoctorOptions share_options(comm::World& world, const Options& options) {
  train::DoctorOptions shared{
      .experiments = {}, .not_run = {}, .published = options.published, .json = options.json};
  const auto share = [&](const std::string& file) {
    return train::share_experiment(world, file, {"device.kind=cuda"});
  };
  const auto is_here = [&](const std::string& file) {
    if (!world.broadcast(world.is_root() && std::filesystem::exists(file) ? file : "").empty()) return true;
    shared.not_run.push_back(fmt::format("{} is not in this folder", file));
    return false;
  };
  for (const std::string& file : options.files) shared.experiments.push_back(share(file));
  if (!options.files.empty()) return shared;
  shared.published = true;
  for (const char* file : published) {
    if (!is_here(file)) continue;
    config::Experiment experiment = share(file);
    if (is_here(experiment.data.train.file)) shared.experiments.push_back(std::move(experiment));
  }
  return shared;
}

}  // namespace

void add_doctor_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "doctor", "Tell whether the GPUs of the ranks compute what CPUs do, and how fast they are");
  command->add_flag("--gpu", options->gpu, "Examine GPUs: all that there is to examine yet")->required();
  command->add_option(
      "files", options->files,
      "Experiment files (YAML) to train for some steps, on GPUs and on CPUs; without any, the two "
      "published ones in configs/, in full too");
  command->add_flag("--published", options->published,
                    "Train the named experiments in full too, and tell how long it took");
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
