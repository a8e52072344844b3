#include "train/recorded_run.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "train/run.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

/// Where the run was started; empty if it does not say, or that directory is not there.
fs::path recorded_directory(const RunFolder& run) {
  std::ifstream file(run.environment());
  const auto environment = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!environment.is_object()) return {};
  const auto directory = environment.find("working_directory");
  if (directory == environment.end() || !directory->is_string()) return {};
  std::error_code ignored;
  fs::path path = directory->get<std::string>();
  return fs::is_directory(path, ignored) ? path : fs::path{};
}

}  // namespace

config::Experiment share_recorded_experiment(comm::World& world, const RunFolder& run) {
  std::string directory;
  world.agree([&] {
    if (!world.is_root()) return;
    if (!fs::is_directory(run.path()))
      fail(ExitCode::no_input, "{} is not the folder of a run: give one such as runs/NAME", run.path());
    directory = recorded_directory(run).string();
  });
  directory = world.broadcast(directory);
  config::Experiment experiment = share_experiment(world, run.experiment(), {});
  const auto from_there = [&](std::string& file) { file = (fs::path(directory) / file).string(); };
  if (!directory.empty()) {
    from_there(experiment.data.train.file);
    if (experiment.data.validation) from_there(experiment.data.validation->file);
  }
  return experiment;
}

}  // namespace lockstep::train
