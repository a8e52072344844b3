#include "train/run_records.h"

#include <algorithm>

#include "checkpoint/weights_file.h"
#include "config/print.h"
#include "metrics/console.h"
#include "metrics/csv.h"
#include "metrics/digests.h"
#include "metrics/jsonl.h"
#include "train/process.h"

namespace lockstep::train {
namespace {

std::unique_ptr<metrics::Sink> make_console(const config::Output& output, const Terminal& terminal) {
  metrics::ConsoleOptions options;
  options.progress = wants_progress(output.progress, terminal);
  options.colour = wants_colour(terminal);
  options.is_terminal = terminal.exists();
  options.width = [&terminal] { return terminal.width(); };
  return std::make_unique<metrics::Console>(terminal.output(), std::move(options));
}

/// The files of a new run.
void begin_files(Records& records, const config::Experiment& experiment, const Environment& environment) {
  records.folder.write_experiment(config::print(experiment));
  records.folder.write_environment(environment_json(environment));
  records.sinks.push_back(std::make_unique<metrics::Csv>(records.folder.metrics_csv()));
  records.sinks.push_back(std::make_unique<metrics::Jsonl>(records.folder.metrics_jsonl()));
  records.sinks.push_back(std::make_unique<metrics::Digests>(records.folder.digests()));
}

/// The files of a run that goes on from `position`: whatever it wrote after that is cut off. Until it ends
/// again it has no summary.
void continue_files(Records& records, const config::Experiment& experiment, const Environment& environment,
                    const Position& position, std::int64_t global_step) {
  records.folder.remove_summary();
  records.folder.write_experiment(config::print(experiment));
  records.folder.write_environment(environment_json(environment), global_step);
  const std::int64_t epochs_done = position.epoch - 1;
  // Within an epoch, the digest of a step is written with the next one.
  const std::int64_t last_digest = position.step == 0 ? global_step : global_step - 1;
  records.sinks.push_back(std::make_unique<metrics::Csv>(records.folder.metrics_csv(), epochs_done));
  records.sinks.push_back(std::make_unique<metrics::Jsonl>(records.folder.metrics_jsonl(), epochs_done));
  records.sinks.push_back(
      std::make_unique<metrics::Digests>(records.folder.digests(), global_step == 0 ? -1 : last_digest));
}

std::unique_ptr<Checkpoints> make_checkpoints(const Blueprint& blueprint, const RunFolder& folder,
                                              const std::string& arithmetic) {
  const config::Experiment& experiment = blueprint.experiment;
  if (experiment.checkpoint.keep == 0) return nullptr;
  return std::make_unique<Checkpoints>(
      experiment.checkpoint, blueprint.network.parameters, checkpoint::Store(folder.checkpoints()),
      std::vector{folder.metrics_csv(), folder.metrics_jsonl(), folder.digests()},
      Checkpoints::Facts{.experiment = config::print(experiment),
                         .data = fingerprint(blueprint),
                         .arithmetic = arithmetic,
                         .steps_per_epoch = blueprint.steps_per_epoch()});
}

/// A folder that did not exist, and goes away again unless the run comes to begin in it.
class NewFolder {
 public:
  NewFolder(const config::Experiment& experiment, const Environment& environment)
      : folder_(RunFolder::make(experiment.output, experiment.name, environment.started)) {}
  ~NewFolder() {
    if (!kept_) folder_.remove();
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  [[nodiscard]] const RunFolder& folder() const { return folder_; }
  void keep() { kept_ = true; }

 private:
  RunFolder folder_;
  bool kept_ = false;
};

}  // namespace

std::unique_ptr<Records> make_records(const Blueprint& blueprint, const Environment& environment,
                                      std::optional<ClaimedRun> claimed, const Position& position,
                                      const std::string& arithmetic) {
  const config::Experiment& experiment = blueprint.experiment;
  std::optional<NewFolder> made;
  if (!claimed) {
    made.emplace(experiment, environment);
    claimed.emplace(
        ClaimedRun{.folder = made->folder(), .lock = RunLock(made->folder().path()), .has_begun = false});
  }
  auto records = std::make_unique<Records>(Records{.folder = std::move(claimed->folder),
                                                   .lock = std::move(claimed->lock),
                                                   .terminal = Terminal::of_standard_output(),
                                                   .sinks = {},
                                                   .checkpoints = nullptr});
  records->sinks.push_back(make_console(experiment.output, records->terminal));
  records->folder.remove_partial_files();
  if (claimed->has_begun)
    continue_files(*records, experiment, environment, position,
                   position.global_step(blueprint.steps_per_epoch()));
  else
    begin_files(*records, experiment, environment);
  records->checkpoints = make_checkpoints(blueprint, records->folder, arithmetic);
  if (made) made->keep();
  return records;
}

void recall(const RunFolder& folder, std::int64_t epochs, metrics::RunSummary& summary) {
  for (metrics::EpochRecord& record : metrics::read_epochs(folder.metrics_jsonl())) {
    record.epochs = epochs;
    summary.last = record;
    if (record.val_accuracy && (!summary.best || *record.val_accuracy > summary.best->val_accuracy))
      summary.best = record;
  }
}

void write_results(comm::World& world, const Blueprint& blueprint, std::span<const float> weights,
                   const Records* records, metrics::RunSummary& summary) {
  world.activity().enter(comm::Phase::writing_results);
  summary.peak_memory_bytes = peak_memory_bytes();
  world.max({&summary.peak_memory_bytes, 1});
  world.agree([&] {
    if (records == nullptr) return;
    checkpoint::write_weights(
        records->folder.final_weights(), blueprint.network.parameters, weights,
        {.experiment = blueprint.experiment.name, .epoch = summary.epochs_done, .step = summary.steps_done});
    summary.weights = records->folder.final_weights();
    records->folder.write_summary(summary);
    for (const auto& sink : records->sinks) sink->end(summary);
  });
}

void write_failure(const Records& records, metrics::RunSummary& summary, const std::exception& failure) {
  const auto* error = dynamic_cast<const Error*>(&failure);
  summary.status = error != nullptr && error->code() == ExitCode::bad_data ? "diverged" : "failed";
  summary.detail = failure.what();
  summary.peak_memory_bytes = peak_memory_bytes();  // rank 0's: the others may be gone
  summary.weights.clear();
  summary.weights_digest.clear();
  const auto attempt = [](const auto& work) {
    try {
      work();
    } catch (const std::exception&) {
      return;
    }
  };
  attempt([&] { records.folder.write_summary(summary); });
  for (const auto& sink : records.sinks) attempt([&] { sink->end(summary); });
}

}  // namespace lockstep::train
