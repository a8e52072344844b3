#include "cli/plan_command.h"

#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "config/parse.h"
#include "train/plan_report.h"

namespace lockstep::cli {

void add_plan_command(CLI::App& app, Action& action) {
  struct Options {
    std::string file;
    std::vector<std::string> overrides;
    int ranks = 1;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("plan", "Show what set-up would decide for a number of ranks, without training");
  command->add_option("file", options->file, "Experiment file (YAML)")->required();
  command->add_option("overrides", options->overrides, "Settings to change, such as training.batch=256");
  command->add_option("-n,--ranks", options->ranks, "Ranks, taken to be on this host")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  lockstep plan configs/mnist_cnn.yaml\n"
      "  lockstep plan configs/mnist_cnn.yaml --ranks 3");
  command->callback([options, &action] {
    action = on_first_rank([options] {
      const auto experiment =
          config::parse(config::read_text(options->file), options->file, options->overrides);
      fmt::print("{}", train::plan_report(experiment, options->ranks));
      return 0;
    });
  });
}

}  // namespace lockstep::cli
