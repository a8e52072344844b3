#include "train/beginning.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/store.h"
#include "config/parse.h"
#include "config/print.h"
#include "io/atomic_file.h"
#include "train/compare_settings.h"
#include "train/run_json.h"
#include "train/state_transfer.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::Snapshot;

bool is_there(const fs::path& path) {
  std::error_code unreadable;  // what may not be looked at is not there
  return fs::exists(path, unreadable);
}

/// Of a run that was killed before it had an experiment: nothing that anybody would miss.
bool has_not_begun(const RunFolder& run) {
  std::error_code error;
  for (fs::directory_iterator file(run.path(), error); !error && file != fs::directory_iterator();
       file.increment(error)) {
    const std::string name = file->path().filename().string();
    if (name != RunLock::file_name && name.find(io::partial_marker) == std::string::npos) return false;
  }
  return !error;
}

bool depends_on_epochs(const config::Schedule& schedule) {
  return std::holds_alternative<config::CosineSchedule>(schedule.kind) ||
         std::holds_alternative<config::LinearSchedule>(schedule.kind);
}

/// Whether the recorded training would have been another from the start with more epochs: its learning rate
/// follows the end, or its end was validated, which only every so many epochs are.
bool end_was_special(const config::Training& recorded, const config::Schedule& schedule) {
  return depends_on_epochs(schedule) || recorded.epochs % recorded.validate_every != 0;
}

/// What a training is computed on may change where the user names the run: the bits then do, of which the
/// user is warned, but not what is trained.
enum class DeviceMay : bool { stay, change };

/// The settings that would give other results than the recorded experiment, a line each.
std::vector<std::string> changed_settings(const config::Experiment& recorded, const config::Experiment& now,
                                          DeviceMay device) {
  const auto settings = [](const config::Experiment& experiment) {
    return parse_experiment(config::print(experiment), experiment.source);
  };
  std::vector<std::string> changed;
  for (const SetupDifference& difference : compare_settings(settings(recorded), settings(now))) {
    if (!changes_results(difference.key)) continue;
    if (difference.key == "training.epochs" && !end_was_special(recorded.training, now.schedule)) continue;
    // With the one tree it does not matter what carries gradients.
    if (difference.key == "device.exchange" &&
        now.training.reproducibility == config::Reproducibility::lockstep)
      continue;
    if (device == DeviceMay::change &&
        (difference.key == "device.kind" || difference.key == "device.precision"))
      continue;
    // `auto` asked for no bits in particular; a name can bring those of the recorded run back.
    if (difference.key == "device.instruction_set" && difference.a == "auto") continue;
    changed.push_back(fmt::format("{}: {} there, {} now", difference.key, difference.a.value_or("none"),
                                  difference.b.value_or("none")));
  }
  return changed;
}

void check_same_experiment(const config::Experiment& recorded, const config::Experiment& now,
                           const std::string& where) {
  const std::vector<std::string> changed = changed_settings(recorded, now, DeviceMay::change);
  if (changed.empty()) return;
  fail(ExitCode::bad_config,
       "{} cannot go on with other settings that change its results:\n  {}\nSet them as they were, or start "
       "a new run. What may change: {}, device.kind, device.precision, device.exchange with reproducibility "
       "lockstep, training.epochs unless the schedule depends "
       "on it (cosine, linear) or the last epoch is no multiple of training.validate_every, and "
       "device.instruction_set if it was auto.",
       where, fmt::join(changed, "\n  "), fmt::join(settings_without_influence, ", "));
}

config::Experiment recorded_experiment(const RunFolder& run) {
  return config::parse(config::read_text(run.experiment()), run.experiment(), {});
}

/// Whether it is a run of an experiment with this name, and for messages, the settings that differ.
struct Candidate {
  RunFolder run;
  std::string start;
  std::vector<std::string> changed;
};
std::optional<Candidate> candidate(const RunFolder& run, const config::Experiment& experiment) {
  if (!is_there(run.experiment()) || is_over(run)) return std::nullopt;
  try {
    const config::Experiment recorded = recorded_experiment(run);
    if (recorded.name != experiment.name) return std::nullopt;
    return Candidate{run, json_value_of_file(run.environment(), "started").value_or(""),
                     changed_settings(recorded, experiment, DeviceMay::stay)};
  } catch (const Error&) {
    return std::nullopt;  // no run, or one that this version cannot read
  }
}

/// The newest unfinished run of the experiment, with its very settings. Others of its name are reported, as
/// somebody may have meant them.
std::optional<RunFolder> newest_unfinished(const config::Experiment& experiment) {
  const fs::path parent = experiment.output.dir.empty() ? "." : experiment.output.dir;
  std::vector<Candidate> found;
  std::error_code error;  // without the folder there are no runs
  for (fs::directory_iterator entry(parent, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    if (auto run = candidate(RunFolder(entry->path()), experiment)) found.push_back(std::move(*run));
  // "started" sorts as text; of runs of the same second, the one of the later name is the newest.
  std::ranges::sort(found, std::ranges::greater(),
                    [](const Candidate& run) { return run.start + run.run.path(); });
  const auto same = std::ranges::find_if(found, [](const Candidate& run) { return run.changed.empty(); });
  if (same != found.end()) return same->run;
  for (const Candidate& run : found)
    log::warning(
        "'{}' is unfinished, but has other settings, so a new run starts. To go on with it: lockstep resume "
        "{}\n  {}",
        run.run.path(), run.run.path(), fmt::join(run.changed, "\n  "));
  return std::nullopt;
}

/// The run to go on with, if there is one.
std::optional<RunFolder> find_run(const config::Experiment& experiment, const Beginning& beginning) {
  if (beginning.how == Beginning::How::run) return RunFolder(fs::path(beginning.path));
  if (beginning.how != Beginning::How::newest) return std::nullopt;
  if (experiment.output.name.empty()) return newest_unfinished(experiment);
  const RunFolder named(fs::path(experiment.output.dir.empty() ? "." : experiment.output.dir) /
                        experiment.output.name);
  return is_there(named.path()) ? std::optional(named) : std::nullopt;
}

/// As checkpoints were once written for data that have none: nothing can be said about their contents.
bool is_without_checksums(const std::string& data) {
  return data.find("checksums none") != std::string::npos;
}

/// What fingerprint() says of size, samples and types.
std::string without_checksums(const std::string& data) {
  constexpr std::string_view checksums = ", checksums ", next_set = "; to validate ";
  std::string kept;
  for (std::size_t begin = 0; begin < data.size();) {
    const std::size_t end = std::min(data.find(next_set, begin + 1), data.size());
    const std::string part = data.substr(begin, end - begin);
    kept += part.substr(0, part.find(checksums));
    begin = end;
  }
  return kept;
}

void check_fits(const Snapshot& snapshot, const config::Experiment& experiment, const std::string& where,
                const std::string& data) {
  check_same_experiment(config::parse(snapshot.experiment, where, {}), experiment, where);
  if (snapshot.epoch > experiment.training.epochs + 1)
    fail(ExitCode::bad_config, "{} is past training.epochs={}: it has done {} epochs", where,
         experiment.training.epochs, snapshot.epoch - 1);
  if (is_without_checksums(snapshot.data) && without_checksums(snapshot.data) == without_checksums(data))
    log::warning("{} does not say what was in {}: see to it that it is the same still", where,
                 experiment.data.train.file);
  else if (snapshot.data != data)
    fail(ExitCode::bad_data,
         "{} was trained on other data than {} now holds: there {}; now {}. Bring the same data back, or "
         "start a new run.",
         where, experiment.data.train.file, snapshot.data, data);
}

}  // namespace

bool is_over(const RunFolder& run) {
  const auto status = json_value_of_file(run.summary(), "status");
  return status == "finished" || status == "diverged";
}

bool has_finished(const RunFolder& run, std::int64_t epochs) {
  if (json_value_of_file(run.summary(), "status") != "finished" || !is_there(run.final_weights()))
    return false;
  const std::string text = json_value_of_file(run.summary(), "epochs_done").value_or("");
  std::int64_t done = 0;
  std::from_chars(text.data(), text.data() + text.size(), done);
  if (done > epochs)
    fail(ExitCode::bad_config, "{} is past training.epochs={}: it has done {} epochs", run.path(), epochs,
         done);
  return done == epochs;
}

std::optional<ClaimedRun> claim_run(const config::Experiment& experiment, const Beginning& beginning) {
  const std::optional<RunFolder> folder = find_run(experiment, beginning);
  if (!folder) return std::nullopt;
  ClaimedRun run{.folder = *folder, .lock = RunLock(folder->path()), .has_begun = !has_not_begun(*folder)};
  if (run.has_begun) check_same_experiment(recorded_experiment(*folder), experiment, folder->path());
  return run;
}

std::optional<Snapshot> load_beginning(const config::Experiment& experiment, const Beginning& beginning,
                                       const ClaimedRun* run, const Parameters& parameters,
                                       const std::string& data) {
  if (beginning.how == Beginning::How::from_checkpoint) {
    std::error_code unknown;
    if (std::filesystem::is_directory(beginning.path, unknown))
      fail(ExitCode::no_input,
           "'{0}' is a folder, and --from takes a checkpoint, such as {0}/checkpoints/step-000000000469.h5 "
           "of a "
           "run (to go on with the run itself: lockstep resume {0})",
           beginning.path);
    check_fits(checkpoint::read_snapshot_header(beginning.path), experiment, beginning.path, data);
    Snapshot snapshot = checkpoint::read_snapshot(beginning.path, parameters);
    check_digests(snapshot, beginning.path);
    return snapshot;
  }
  if (run == nullptr || !run->has_begun) return std::nullopt;
  const checkpoint::Store store(run->folder.checkpoints());
  auto found = store.newest_readable(parameters, check_digests,
                                     [](const std::string& problem) { log::warning("{}", problem); });
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
