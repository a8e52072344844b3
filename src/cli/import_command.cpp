#include "cli/import_command.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/import/import_idx.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string output;
  std::vector<std::string> train;
  std::vector<std::string> test;
  bool force = false;
};

int run(const Options& options) {
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the size of files is then an error of the write
  data::ImportRequest request;
  request.output = options.output;
  request.train = {options.train[0], options.train[1]};
  if (!options.test.empty()) request.test = data::IdxPair{options.test[0], options.test[1]};
  request.force = options.force;

  const data::ImportReport report = data::import_idx(request);
  if (report.outcome == data::ImportReport::Outcome::unchanged) {
    fmt::print("{} is up to date: it was made from these files.\n", options.output);
    return 0;
  }
  fmt::print("{} written\n", options.output);
  constexpr std::array<std::string_view, 2> groups = {"/train", "/test"};
  for (std::size_t i = 0; i < report.splits.size(); ++i) {
    const auto& split = report.splits[i];
    fmt::print("  {:<7} {} images {} of {}, {} classes\n", groups.at(i), split.images[0],
               Shape({split.images.extents().begin() + 1, split.images.extents().end()}).text(),
               name_of(split.type), split.classes);
  }
  return 0;
}

}  // namespace

void add_import_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("import", "Make an HDF5 data file from IDX files, gzipped or not");
  command->add_option("output", options->output, "HDF5 file to write")->required()->type_name("OUT.h5");
  command->add_option("--train", options->train, "Training images and their labels")
      ->expected(2)
      ->required()
      ->type_name("IMAGES LABELS");
  command->add_option("--test", options->test, "Test images and their labels")
      ->expected(2)
      ->type_name("IMAGES LABELS");
  command->add_flag("--force", options->force, "Replace a file that exists");
  command->footer(
      "An output that was already made from the same files is left as it is.\n\n"
      "Example:\n"
      "  lockstep import datasets/mnist.h5 \\\n"
      "    --train datasets/mnist/train-images-idx3-ubyte.gz datasets/mnist/train-labels-idx1-ubyte.gz \\\n"
      "    --test datasets/mnist/t10k-images-idx3-ubyte.gz datasets/mnist/t10k-labels-idx1-ubyte.gz");
  command->callback([options, &action] { action = on_first_rank([options] { return run(*options); }); });
}

}  // namespace lockstep::cli
