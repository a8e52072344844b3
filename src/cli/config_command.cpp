#include "cli/config_command.h"

#include <fmt/core.h>

#include <memory>
#include <string>
#include <vector>

#include "config/parse.h"
#include "config/print.h"

namespace lockstep::cli {

void add_config_command(CLI::App& app, Action& action) {
  struct Options {
    std::string file;
    std::vector<std::string> overrides;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("config", "Check an experiment and print it with every default spelled out");
  command->add_option("file", options->file, "Experiment file (YAML)")->required();
  command->add_option("overrides", options->overrides, "Settings to change, such as training.epochs=3");
  command->footer(
      "Examples:\n"
      "  lockstep config configs/mnist_cnn.yaml\n"
      "  lockstep config configs/mnist_cnn.yaml seed=7 > mine.yaml");
  command->callback([options, &action] {
    action = on_first_rank([options] {
      fmt::print("{}", config::print(config::parse(config::read_text(options->file), options->file,
                                                   options->overrides)));
      return 0;
    });
  });
}

}  // namespace lockstep::cli
