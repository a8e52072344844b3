#include "cli/train_command.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/rules.h"
#include "train/faults.h"
#include "train/recorded_run.h"
#include "train/run.h"
#include "train/signals.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string file;
  std::vector<std::string> overrides;
  bool allow_faults = false;
  train::Request request;
};

void add_common_options(CLI::App* command, Options& options) {
  command->add_option("overrides", options.overrides, "Settings to change, such as training.epochs=3");
  command
      ->add_option("--until", options.request.beginning.until,
                   "Stop after this step, counted over the whole training, with a checkpoint")
      ->check([](const std::string& text) {
        const auto step = config::parse_integer<std::int64_t>(text);
        return step && *step > 0 ? "" : "must be a step, a whole number of at least 1, found '" + text + "'";
      });
  command->add_flag("--profile", options.request.profile,
                    "At the end, print where the time of the steps went: by rank, thread and layer");
  command->add_flag("--allow-faults", options.allow_faults,
                    "Let the experiment's `faults` happen: for tests of what becomes of them");
}

/// Runs `work` where a training may be stopped by signals.
template <class Work>
int train_on_ranks(Work&& work) {
  train::ignore_write_signals();
  train::watch_stop_signals();
  return on_ranks(std::forward<Work>(work));
}

}  // namespace

void add_train_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train an experiment; under mpirun, on all of its ranks");
  command->add_option("file", options->file, "Experiment file (YAML)")->required();
  add_common_options(command, *options);
  auto* resume = command->add_flag_callback(
      "--resume", [options] { options->request.beginning.how = train::Beginning::How::newest; },
      "Go on with the newest unfinished run of this experiment in its output folder; start one if there is "
      "none");
  command
      ->add_option_function<std::string>(
          "--from",
          [options](const std::string& checkpoint) {
            options->request.beginning.how = train::Beginning::How::from_checkpoint;
            options->request.beginning.path = checkpoint;
          },
          "Start a new run from the checkpoint of another")
      ->excludes(resume);
  command->footer(
      "Examples:\n"
      "  lockstep train configs/mnist_cnn.yaml\n"
      "  lockstep train configs/mnist_cnn.yaml training.epochs=3 optimizer.sgd.learning_rate=0.02\n"
      "  mpirun -n 4 lockstep train configs/mnist_cnn.yaml output.name=four_ranks\n"
      "  mpirun -n 4 lockstep train configs/mnist_cnn.yaml --resume\n"
      "  lockstep train configs/mnist_cnn.yaml --from runs/NAME/checkpoints/step-000000000469.h5 --until "
      "500\n"
      "\n"
      "Ctrl-C or SIGTERM (under mpirun: kill -USR1 of mpirun) stop after the current step with everything "
      "written;\n"
      "the exit status is then 75, and the same command with --resume goes on, on any number of ranks.");
  command->callback([options, &action] {
    action = [options] {
      return train_on_ranks([&](comm::World& world) {
        const config::Experiment experiment =
            train::share_experiment(world, options->file, options->overrides);
        train::arm_faults(world, experiment, options->allow_faults);
        return train::run_training(world, experiment, options->request);
      });
    };
  });
}

void add_resume_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  options->request.beginning.how = train::Beginning::How::run;
  CLI::App* command =
      app.add_subcommand("resume", "Go on with a run from its newest checkpoint, on any number of ranks");
  command->add_option("run", options->request.beginning.path, "Folder of the run")->required();
  add_common_options(command, *options);
  command->footer(
      "The result has the same bits as that of a training that was never stopped, unless\n"
      "training.reproducibility is run. Another device.kind or device.precision gives other bits, with a\n"
      "warning; other settings that would change the result are refused. training.epochs may grow where the\n"
      "schedule does not depend on it.\n"
      "\n"
      "Examples:\n"
      "  lockstep resume runs/mnist_cnn-20260101T120000Z\n"
      "  mpirun -n 2 lockstep resume runs/mnist_cnn-20260101T120000Z training.epochs=40");
  command->callback([options, &action] {
    action = [options] {
      return train_on_ranks([&](comm::World& world) {
        for (const std::string& override_text : options->overrides)
          if (override_text.starts_with("output.dir=") || override_text.starts_with("output.name="))
            fail(ExitCode::bad_config,
                 "override '{}': a run stays in its folder; leave it out, or move the folder", override_text);
        const train::RunFolder run{std::filesystem::path(options->request.beginning.path)};
        const config::Experiment experiment =
            train::share_recorded_experiment(world, run, options->overrides);
        train::arm_faults(world, experiment, options->allow_faults);
        return train::run_training(world, experiment, options->request);
      });
    };
  });
}

}  // namespace lockstep::cli
