#include "cli/inspect_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "cli/inspect_checkpoint.h"
#include "config/parse.h"
#include "io/hdf5_array.h"
#include "io/hdf5_attributes.h"
#include "metrics/format.h"
#include "train/run_folder.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// A line of the overview.
template <class... Args>
void print_fact(std::string_view name, fmt::format_string<Args...> format, Args&&... args) {
  fmt::print("  {:<11} {}\n", name, fmt::format(format, std::forward<Args>(args)...));
}

/// Says when a file of the run is missing.
bool there(std::string_view name, const std::string& path) {
  if (exists(path)) return true;
  print_fact(name, "no {} yet: the run goes on, or was cut off", fs::path(path).filename().string());
  return false;
}

/// Calls f(the file as JSON). Error when it is damaged or lacks what f asks of it.
template <class F>
void with_json(const std::string& path, F&& f) {
  try {
    f(Json::parse(config::read_text(path)));
  } catch (const Json::exception& error) {
    fail(ExitCode::bad_data, "'{}' is damaged: {}", path, error.what());
  }
}

void print_experiment(const std::string& path) {
  const config::Experiment experiment = config::parse(config::read_text(path), path, {});
  const config::Training& training = experiment.training;
  print_fact("experiment", "{}: {} planned, batch {}, {} shards, {} layers, seed {}", experiment.name,
             metrics::counted(training.epochs, "epoch"), training.batch, training.shards,
             experiment.model.size(), experiment.seed);
  print_fact("data", "{} {}", experiment.data.train.file, experiment.data.train.images);
}

/// Of the run's start, or of when it went on after so many steps.
void print_environment(std::int64_t step, const std::string& path) {
  with_json(path, [step](const Json& json) {
    const auto time = json.at("started").get<std::string>();
    if (step == 0)
      print_fact("started", "{}", time);
    else
      print_fact("went on", "{}, after step {}", time, step);
    std::vector<std::string> hosts;
    for (const Json& host : json.at("hosts")) hosts.push_back(host.at("name").get<std::string>());
    print_fact("ranks", "{} on {}, threads {}, {}", json.at("ranks").get<std::int64_t>(),
               fmt::join(hosts, ", "), json.at("threads").dump(), json.at("device").get<std::string>());
    print_fact("command", "{}", json.at("command_line").get<std::string>());
  });
}

void print_summary(const std::string& path) {
  with_json(path, [](const Json& json) {
    const auto detail = json.at("detail").get<std::string>();
    print_fact("status", "{}{}{}", json.at("status").get<std::string>(), detail.empty() ? "" : ": ", detail);
    constexpr double megabyte = 1e6;
    print_fact("done", "{} epochs, {} steps in {:.1f} s; peak memory of a rank {:.0f} MB",
               json.at("epochs_done").get<std::int64_t>(), json.at("steps_done").get<std::int64_t>(),
               json.at("seconds").get<double>(), json.at("peak_memory_bytes").get<double>() / megabyte);
    if (const auto digest = json.at("weights_digest").get<std::string>(); !digest.empty())
      print_fact("digest", "{}", digest);
    const Json& best = json.at("best");
    if (!best.is_null() && !best.at("val_accuracy").is_null())
      print_fact("best", "epoch {}: validation accuracy {:.4f}, loss {:.4f}",
                 best.at("epoch").get<std::int64_t>(), best.at("val_accuracy").get<double>(),
                 best.at("val_loss").get<double>());
  });
}

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char letter : line) {
    if (letter == ',')
      cells.emplace_back();
    else
      cells.back() += letter;
  }
  return cells;
}

/// A number with as many digits as a person reads; anything else as it is.
std::string shortened(const std::string& cell) {
  char* end = nullptr;
  const double number = std::strtod(cell.c_str(), &end);
  const bool whole_cell = !cell.empty() && end == cell.c_str() + cell.size();
  return whole_cell ? fmt::format("{:.6g}", number) : cell;
}

/// metrics.csv in columns; of a long run the first and the last epochs.
void print_epochs(const std::string& path) {
  std::istringstream text(config::read_text(path));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) rows.push_back(cells_of(line));
  if (rows.size() < 2) return print_fact("epochs", "none finished yet");

  std::vector<std::size_t> widths;
  for (const std::string& title : rows.front()) widths.push_back(title.size());
  for (const auto& row : rows)
    if (row.size() != widths.size())
      fail(ExitCode::bad_data, "'{}' is damaged: a line has {} columns, its header {}", path, row.size(),
           widths.size());

  constexpr std::size_t most_rows = 16;  // the header among them
  constexpr std::size_t first_rows = 4;
  fmt::print("\n");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows.size() > most_rows && i == first_rows) {
      i = rows.size() - (most_rows - first_rows);
      fmt::print("  {:>{}}\n", "…", widths[0]);
    }
    std::string line;
    for (std::size_t column = 0; column < widths.size(); ++column)
      line += fmt::format("  {:>{}}", i == 0 ? rows[i][column] : shortened(rows[i][column]), widths[column]);
    fmt::print("{}\n", line);
  }
}

void print_weights(const std::string& path) {
  namespace hdf5 = io::hdf5;
  const hdf5::File file = hdf5::open_file(path);
  std::int64_t count = 0;
  std::string tensors;
  for (const std::string& name : hdf5::dataset_names(file)) {
    const hdf5::Array array(file, path, name);
    count += array.shape().count();
    tensors += fmt::format("    {:<28} {}\n", name, array.shape().text());
  }
  const auto epoch = hdf5::read_integer(file.get(), "epoch");
  const auto step = hdf5::read_integer(file.get(), "step");
  if (!epoch || !step) fail(ExitCode::bad_data, "'{}' has no attributes epoch and step", path);
  fmt::print("\n");
  print_fact("weights", "{} numbers after epoch {}, step {}", count, *epoch, *step);
  fmt::print("{}", tensors);
}

}  // namespace

void print_run(const fs::path& folder) {
  const train::RunFolder run(folder);
  if (!exists(run.experiment()))
    fail(ExitCode::no_input, "'{}' is not the folder of a run: there is no experiment.yaml in it",
         folder.string());
  fmt::print("{}\n", folder.string());
  print_experiment(run.experiment());
  for (const auto& [step, path] : run.environments())
    if (there("started", path)) print_environment(step, path);
  if (there("status", run.summary())) print_summary(run.summary());
  if (there("epochs", run.metrics_csv())) print_epochs(run.metrics_csv());
  print_checkpoints(run.checkpoints());
  if (there("weights", run.final_weights())) print_weights(run.final_weights());
}

}  // namespace lockstep::cli
