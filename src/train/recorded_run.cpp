#include "train/recorded_run.h"

#include <filesystem>
#include <system_error>

#include "base/error.h"
#include "train/run.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

/// A data file of the run: where it was, if it still is there, else as it is called; and so if both are one.
std::string found(const std::string& file, const fs::path& directory) {
  std::error_code ignored;
  const fs::path there = directory / file;  // `file` alone where that is absolute
  return fs::exists(there, ignored) && !fs::equivalent(there, file, ignored) ? there.string() : file;
}

}  // namespace

std::string recorded_text(const RunFolder& run, const char* key) {
  return json_value_of_file(run.environments().rbegin()->second, key).value_or("");
}

config::Experiment share_recorded_experiment(comm::World& world, const RunFolder& run,
                                             const std::vector<std::string>& overrides) {
  world.agree([&] {
    std::error_code ignored;
    if (world.is_root() && !fs::exists(run.experiment(), ignored))
      fail(ExitCode::no_input, "{} is not the folder of a run: give one such as runs/NAME", run.path());
  });
  config::Experiment experiment = share_experiment(world, run.experiment(), overrides);
  // Where the run was started, or last went on.
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
