#include "cli/evaluate_command.h"

#include <memory>
#include <string>
#include <vector>

#include "train/evaluate_run.h"

namespace lockstep::cli {

void add_evaluate_command(CLI::App& app, Action& action) {
  const auto folder = std::make_shared<std::string>();
  const auto overrides = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app.add_subcommand("evaluate", "Recompute the validation metrics of a run from its final weights");
  command->add_option("run", *folder, "Folder of the run")->required();
  command->add_option("overrides", *overrides,
                      "Settings of device and data.validation to change, such as device.kind=cpu");
  command->footer(
      "Data files with relative names are looked for where the training was started, then in the current "
      "folder. Whether the\n"
      "metrics are the same as those recorded is printed; the exit status does not tell.\n"
      "\n"
      "Examples:\n"
      "  lockstep evaluate runs/mnist_cnn-20260101T120000Z\n"
      "  mpirun -n 2 lockstep evaluate runs/mnist_cnn-20260101T120000Z\n"
      "  lockstep evaluate runs/trained_on_gpus device.kind=cpu");
  command->callback([folder, overrides, &action] {
    action = [folder, overrides] {
      return on_ranks([&](comm::World& world) { return train::evaluate_run(world, *folder, *overrides); });
    };
  });
}

}  // namespace lockstep::cli
