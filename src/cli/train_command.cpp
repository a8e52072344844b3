#include "cli/train_command.h"

#include <memory>
#include <string>
#include <vector>

#include "train/run.h"
#include "train/signals.h"

namespace lockstep::cli {

void add_train_command(CLI::App& app, Action& action) {
  struct Options {
    std::string file;
    std::vector<std::string> overrides;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train an experiment; under mpirun, on all of its ranks");
  command->add_option("file", options->file, "Experiment file (YAML)")->required();
  command->add_option("overrides", options->overrides, "Settings to change, such as training.epochs=3");
  command->footer(
      "Examples:\n"
      "  lockstep train configs/mnist_cnn.yaml\n"
      "  lockstep train configs/mnist_cnn.yaml training.epochs=3 optimizer.sgd.learning_rate=0.02\n"
      "  mpirun -n 4 lockstep train configs/mnist_cnn.yaml output.name=four_ranks\n"
      "\n"
      "Ctrl-C or SIGTERM (under mpirun: kill -USR1 of mpirun) stop after the current step with everything "
      "written;\n"
      "the exit status is then 75.");
  command->callback([options, &action] {
    action = [options] {
      train::ignore_write_signals();
      train::watch_stop_signals();
      return on_ranks([&](comm::World& world) {
        const config::Experiment experiment =
            train::share_experiment(world, options->file, options->overrides);
        return train::run_training(world, experiment);
      });
    };
  });
}

}  // namespace lockstep::cli
