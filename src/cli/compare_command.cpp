#include "cli/compare_command.h"

#include <fmt/core.h>

#include <memory>
#include <string>

#include "train/compare_report.h"
#include "train/process.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string a, b;
};

/// All is found out by rank 0: a job of several ranks gets the same answer, once.
ExitCode compare(comm::World& world, const Options& options) {
  train::CompareReport report;
  world.agree([&] {
    if (world.is_root()) report = train::compare_runs(options.a, options.b, train::program_name());
  });
  if (world.is_root()) fmt::print("{}", report.text);
  const bool identical = world.broadcast(report.identical ? "identical" : "different") == "identical";
  return identical ? ExitCode::success : ExitCode::different;
}

}  // namespace

void add_compare_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "compare", "Tell whether two runs were the same training, bit by bit, or where they part");
  command->add_option("run_a", options->a, "Folder of a run, finished or not")->required();
  command->add_option("run_b", options->b, "Folder of the other")->required();
  command->footer(
      "Reads what the runs recorded, above all digests.csv: the first step at which they differ, the tensors "
      "(from checkpoints\n"
      "or final weights), what differs in their set-up, and the commands that compute both again from their "
      "last checkpoint\n"
      "in common. The exit status is 0 when they are identical as far as both go, 1 when they differ.\n"
      "\n"
      "Examples:\n"
      "  lockstep compare runs/mnist_cnn-20260101T120000Z runs/mnist_cnn-20260102T080000Z");
  command->callback([options, &action] {
    action = [options] { return on_ranks([&](comm::World& world) { return compare(world, *options); }); };
  });
}

}  // namespace lockstep::cli
