#include "cli/audit_command.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "train/audit_report.h"
#include "train/recorded_run.h"
#include "train/run.h"
#include "train/run_folder.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string path;
  std::vector<std::string> overrides;
  train::AuditOptions audit;
};

/// Whether rank 0 finds the folder of a run there, and no experiment file. Collective.
bool is_run(comm::World& world, const std::string& path) {
  std::string kind;
  world.agree([&] {
    if (!world.is_root()) return;
    std::error_code ignored;
    if (!fs::exists(path, ignored))
      fail(ExitCode::no_input, "there is no run and no experiment file '{}'", path);
    kind = fs::is_directory(path, ignored) ? "run" : "file";
  });
  return world.broadcast(kind) == "run";
}

/// The experiment to audit, on all ranks. Collective.
config::Experiment share_audited(comm::World& world, const Options& options, bool is_run) {
  if (!is_run) return train::share_experiment(world, options.path, options.overrides);
  world.agree([&] {
    if (!options.overrides.empty())
      fail(ExitCode::usage,
           "'{}': the settings of a run cannot be changed; give its experiment.yaml instead to see what "
           "another setting would do",
           options.overrides.front());
  });
  return train::share_recorded_experiment(world, train::RunFolder(options.path));
}

/// All is found out by rank 0: a job of several ranks gets the same answer, once.
ExitCode audit(comm::World& world, Options options) {
  const bool of_run = is_run(world, options.path);
  const config::Experiment experiment = share_audited(world, options, of_run);
  std::string report;
  world.agree([&] {
    if (!world.is_root()) return;
    if (of_run) options.audit.recorded_ranks = train::recorded_ranks(train::RunFolder(options.path));
    report = train::audit_report(experiment, options.audit);
  });
  if (world.is_root()) fmt::print("{}", report);
  return ExitCode::success;
}

}  // namespace

void add_audit_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "audit", "Prove that each epoch uses each sample once, and tell which rank reads it");
  command->add_option("path", options->path, "Folder of a run, or experiment file (YAML)")->required();
  command->add_option("overrides", options->overrides,
                      "Settings of an experiment file to change, such as training.batch=256");
  command->add_option("--epoch", options->audit.epoch, "Only this epoch, counted from 1")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--sample", options->audit.sample,
                   "Tell where this sample is used: a row of the training images, counted from 0")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("-n,--ranks", options->audit.ranks,
                   "Numbers of ranks to prove it for [1,2,3,4,8 up to the shards, and that of the run]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 20));
  command->footer(
      "Which samples a shard trains on is a pure function of the experiment and the number of samples, so "
      "nothing needs to\n"
      "have been recorded. Epochs and steps count from 1; samples, shards, ranks and the rows of a step's "
      "batch from 0.\n"
      "\n"
      "Examples:\n"
      "  lockstep audit runs/mnist_cnn-20260101T120000Z\n"
      "  lockstep audit runs/mnist_cnn-20260101T120000Z --sample 4711 --epoch 3\n"
      "  lockstep audit configs/mnist_cnn.yaml training.batch=100 --ranks 3,5");
  command->callback([options, &action] {
    action = [options] { return on_ranks([&](comm::World& world) { return audit(world, *options); }); };
  });
}

}  // namespace lockstep::cli
