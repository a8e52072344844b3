#include "train/recorded_run.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "train/run.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

/// A text of environment.json; empty if it does not say.
std::string recorded_text(const RunFolder& run, const char* key) {
  std::ifstream file(run.environment());
  const auto environment = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!environment.is_object()) return {};
  const auto text = environment.find(key);
  if (text == environment.end() || !text->is_string()) return {};
  return text->get<std::string>();
}

/// A data file of the run: where it was, if it still is there, else as it is called; and so if both are one.
std::string found(const std::string& file, const fs::path& directory) {
  std::error_code ignored;
  const fs::path there = directory / file;  // `file` alone where that is absolute
  return fs::exists(there, ignored) && !fs::equivalent(there, file, ignored) ? there.string() : file;
}

}  // namespace

config::Experiment share_recorded_experiment(comm::World& world, const RunFolder& run,
                                             const std::vector<std::string>& overrides) {
  world.agree([&] {
    std::error_code ignored;
    if (world.is_root() && !fs::is_directory(run.path(), ignored))
      fail(ExitCode::no_input, "{} is not the folder of a run: give one such as runs/NAME", run.path());
  });
  config::Experiment experiment = share_experiment(world, run.experiment(), overrides);
  // Where the run was started.
  const fs::path directory = world.is_root() ? recorded_text(run, "working_directory") : "";
  const auto locate = [&](std::string& file) {
    file = world.broadcast(world.is_root() ? found(file, directory) : "");
  };
  locate(experiment.data.train.file);
  if (experiment.data.validation) locate(experiment.data.validation->file);
  return experiment;
}

config::InstructionSet share_recorded_instruction_set(comm::World& world, const RunFolder& run) {
  const std::string recorded = world.broadcast(world.is_root() ? recorded_text(run, "instruction_set") : "");
  for (const auto& [set, name] : config::instruction_set_names)
    if (name == recorded) return set;
  return config::InstructionSet::automatic;
}

}  // namespace lockstep::train
