#include "cli/inspect_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "checkpoint/tensor_file.h"
#include "cli/inspect_checkpoint.h"
#include "cli/inspect_run.h"
#include "data/manifest.h"
#include "data/summary.h"
#include "io/hdf5.h"
#include "io/hdf5_attributes.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string path;
  bool verify = false;
};

std::string bytes_text(std::int64_t bytes) {
  constexpr double unit = 1000;
  const auto number = static_cast<double>(bytes);
  if (number < unit) return fmt::format("{} bytes", bytes);
  if (number < unit * unit) return fmt::format("{:.1f} kB", number / unit);
  if (number < unit * unit * unit) return fmt::format("{:.1f} MB", number / unit / unit);
  return fmt::format("{:.2f} GB", number / unit / unit / unit);
}

/// The attributes that `lockstep import` writes on the file itself.
void print_attributes(const fs::path& path) {
  namespace hdf5 = io::hdf5;
  const hdf5::File file = hdf5::open_file(path);
  const auto format = hdf5::read_text(file.get(), "format");
  const auto version = hdf5::read_integer(file.get(), "format_version");
  if (format) fmt::print("  format    {}{}\n", *format, version ? fmt::format(", version {}", *version) : "");
  if (const auto importer = hdf5::read_text(file.get(), "importer"))
    fmt::print("  made by   {}\n", *importer);
  if (const auto sources = hdf5::read_text(file.get(), "sources")) {
    std::string indented = *sources;
    while (indented.ends_with('\n')) indented.pop_back();
    for (std::size_t at = 0; (at = indented.find('\n', at)) != std::string::npos; at += 13)
      indented.replace(at, 1, "\n            ");
    fmt::print("  made from {}\n", indented);
  }
}

void print_classes(const std::vector<std::int64_t>& counts) {
  constexpr std::size_t most_listed = 20;
  constexpr std::size_t per_line = 10;
  if (counts.size() > most_listed) {
    const auto [least, most] = std::ranges::minmax(counts);
    fmt::print("    {} classes of {} to {} rows\n", counts.size(), least, most);
    return;
  }
  for (std::size_t first = 0; first < counts.size(); first += per_line) {
    fmt::print("    class");
    const std::size_t end = std::min(first + per_line, counts.size());
    for (std::size_t i = first; i < end; ++i) fmt::print(" {:>7}", i);
    fmt::print("\n    rows ");
    for (std::size_t i = first; i < end; ++i) fmt::print(" {:>7}", counts[i]);
    fmt::print("\n");
  }
}

void print_array(const data::ArraySummary& array) {
  if (!array.problem.empty()) {
    fmt::print("\n{}\n    not readable: {}\n", array.name, array.problem);
    return;
  }
  fmt::print("\n{}  {} {}, {}, {}\n", array.name, array.shape.text(), name_of(array.type), array.storage,
             bytes_text(array.bytes));
  fmt::print("    minimum {:.6g}, maximum {:.6g}, mean {:.6g}\n", array.minimum, array.maximum, array.mean);
  if (array.not_finite > 0) fmt::print("    {} numbers are not finite\n", array.not_finite);
  if (!array.class_counts.empty()) print_classes(array.class_counts);
  fmt::print("    checksum {}\n", array.checksum.empty() ? "none" : array.checksum);
}

/// Prints the outcome; Error when a checksum does not fit.
void verify(const fs::path& path) {
  std::string wrong;
  std::size_t with_checksum = 0;
  for (const data::ChecksumResult& result : data::verify_checksums(path)) {
    if (!result.expected.empty()) ++with_checksum;
    if (!result.fits())
      wrong += fmt::format("\n  {}: its numbers have {}, its attribute says {}", result.dataset,
                           result.actual, result.expected);
  }
  if (!wrong.empty())
    fail(ExitCode::bad_data, "'{}' is damaged; import or copy it again{}", path.string(), wrong);
  if (with_checksum == 0)
    fail(ExitCode::bad_data,
         "'{}' has no checksums to verify; 'lockstep import' writes them, and datasets/README.md shows how "
         "to add them",
         path.string());
  fmt::print("\nAll {} checksums fit.\n", with_checksum);
}

void print_data_file(const Options& options) {
  const fs::path path = options.path;
  const auto arrays = data::summarize(path);
  fmt::print("{}  {}\n", path.string(), bytes_text(static_cast<std::int64_t>(fs::file_size(path))));
  print_attributes(path);
  if (arrays.empty()) fmt::print("\nIt holds no data sets.\n");
  for (const data::ArraySummary& array : arrays) print_array(array);
  if (options.verify) verify(path);
}

int run(const Options& options) {
  std::error_code ignored;
  if (!fs::is_directory(options.path, ignored)) {
    if (checkpoint::sealed_format(options.path) == checkpoint::checkpoint_format.name)
      print_checkpoint(options.path, options.verify);
    else
      print_data_file(options);
    return 0;
  }
  if (options.verify) fail(ExitCode::usage, "--verify is for files, and '{}' is a folder", options.path);
  print_run(options.path);
  return 0;
}

}  // namespace

void add_inspect_command(CLI::App& app, Action& action) {
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("inspect", "Show what is in an HDF5 data file, a checkpoint or the folder of a run");
  command->add_option("path", options->path, "HDF5 file, checkpoint or folder of a run")
      ->required()
      ->type_name("PATH");
  command->add_flag("--verify", options->verify, "Compare all data with their checksums");
  command->footer(
      "Examples:\n"
      "  lockstep inspect datasets/mnist.h5 --verify\n"
      "  lockstep inspect runs/mnist_cnn-20260131T120000Z\n"
      "  lockstep inspect runs/mnist_cnn-20260131T120000Z/checkpoints/step-000000001407.h5 --verify");
  command->callback([options, &action] { action = on_first_rank([options] { return run(*options); }); });
}

}  // namespace lockstep::cli
