#include "train/beginning.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/store.h"
#include "config/parse.h"
#include "config/print.h"
#include "train/compare_settings.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::Snapshot;

/// A text of a JSON file of a run; empty if it is not there.
std::string json_text(const std::string& path, const char* key) {
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains(key) || !json[key].is_string()) return {};
  return json[key].get<std::string>();
}

/// Whether training more would repeat what was: it came to its end, or diverged, which it would again.
bool is_over(const RunFolder& run) {
  const std::string status = json_text(run.summary(), "status");
  return status == "finished" || status == "diverged";
}

bool is_of(const RunFolder& run, const std::string& experiment) {
  try {
    return config::parse(config::read_text(run.experiment()), run.experiment(), {}).name == experiment;
  } catch (const Error&) {
    return false;  // no run, or one that this version cannot read
  }
}

std::optional<RunFolder> newest_unfinished(const config::Experiment& experiment) {
  const fs::path parent = experiment.output.dir.empty() ? "." : experiment.output.dir;
  if (!experiment.output.name.empty()) {
    const RunFolder named(parent / experiment.output.name);
    return fs::exists(named.experiment()) ? std::optional(named) : std::nullopt;
  }
  std::optional<RunFolder> newest;
  std::string newest_start;
  std::error_code none;  // without the folder there are no runs
  for (const auto& entry : fs::directory_iterator(parent, none)) {
    const RunFolder run(entry.path());
    if (!fs::exists(run.experiment()) || is_over(run) || !is_of(run, experiment.name)) continue;
    // "started" sorts as text; of runs of the same second, the one of the later name.
    const std::string start = json_text(run.environment(), "started") + entry.path().filename().string();
    if (newest && start <= newest_start) continue;
    newest = run;
    newest_start = start;
  }
  return newest;
}

bool depends_on_epochs(const config::Schedule& schedule) {
  return std::holds_alternative<config::CosineSchedule>(schedule.kind) ||
         std::holds_alternative<config::LinearSchedule>(schedule.kind);
}

/// Throws Error(bad_config) if results would be other ones than those of the recorded experiment.
void check_same_experiment(const config::Experiment& recorded, const config::Experiment& now,
                           const std::string& where) {
  const auto settings = [&](const config::Experiment& experiment) {
    return parse_experiment(config::print(experiment), where);
  };
  std::vector<std::string> changed;
  for (const SetupDifference& difference : compare_settings(settings(recorded), settings(now))) {
    if (!changes_results(difference.key)) continue;
    if (difference.key == "training.epochs" && !depends_on_epochs(now.schedule)) continue;
    changed.push_back(fmt::format("{}: {} there, {} now", difference.key, difference.a.value_or("none"),
                                  difference.b.value_or("none")));
  }
  if (changed.empty()) return;
  fail(ExitCode::bad_config,
       "{} cannot go on with other settings that change its results:\n  {}\nSet them as they were, or start "
       "a new "
       "run. What may change: output, checkpoint, checks, digests, device.threads, the places of the data "
       "files, "
       "and training.epochs unless the schedule depends on it (cosine, linear).",
       where, fmt::join(changed, "\n  "));
}

void check_fits(const Snapshot& snapshot, const config::Experiment& experiment, const std::string& where,
                const std::string& data) {
  check_same_experiment(config::parse(snapshot.experiment, where, {}), experiment, where);
  if (snapshot.epoch > experiment.training.epochs + 1)
    fail(ExitCode::bad_config, "{} is past training.epochs={}: it has done {} epochs", where,
         experiment.training.epochs, snapshot.epoch - 1);
  if (snapshot.data != data)
    fail(ExitCode::bad_data,
         "{} was trained on other data than {} now holds: there {}; now {}. Bring the same data back, or "
         "start a "
         "new run.",
         where, experiment.data.train.file, snapshot.data, data);
}

}  // namespace

std::optional<ClaimedRun> claim_run(const config::Experiment& experiment, const Beginning& beginning) {
  std::optional<RunFolder> folder;
  if (beginning.how == Beginning::How::run) folder.emplace(fs::path(beginning.path));
  if (beginning.how == Beginning::How::newest) folder = newest_unfinished(experiment);
  if (!folder) return std::nullopt;
  ClaimedRun run{*folder, RunLock(folder->path())};
  check_same_experiment(config::parse(config::read_text(folder->experiment()), folder->experiment(), {}),
                        experiment, folder->path());
  return run;
}

std::optional<Snapshot> load_beginning(const config::Experiment& experiment, const Beginning& beginning,
                                       const ClaimedRun* run, const Parameters& parameters,
                                       const std::string& data) {
  if (beginning.how == Beginning::How::from_checkpoint) {
    check_fits(checkpoint::read_snapshot_header(beginning.path), experiment, beginning.path, data);
    return checkpoint::read_snapshot(beginning.path, parameters);
  }
  if (run == nullptr) return std::nullopt;
  const checkpoint::Store store(run->folder.checkpoints());
  auto found =
      store.newest_readable(parameters, [](const std::string& problem) { log::warning("{}", problem); });
  if (!found && !store.list().empty())
    fail(ExitCode::bad_data,
         "none of the checkpoints in '{}' can be read. To train from the first step, start a new run.",
         store.folder().string());
  if (!found && is_over(run->folder))
    fail(ExitCode::bad_config, "{} is over, and has no checkpoint to go on from", run->folder.path());
  if (!found) return std::nullopt;
  check_fits(found->snapshot, experiment, found->entry.path.string(), data);
  store.set_aside_after(found->entry.global_step);
  return std::move(found->snapshot);
}

}  // namespace lockstep::train
