#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "base/log.h"
#include "checkpoint/weights_file.h"
#include "comm/watchdog.h"
#include "config/parse.h"
#include "config/print.h"
#include "metrics/console.h"
#include "metrics/csv.h"
#include "metrics/digests.h"
#include "metrics/format.h"
#include "metrics/jsonl.h"
#include "train/arithmetic.h"
#include "train/blueprint.h"
#include "train/build_info.h"
#include "train/checkpoints.h"
#include "train/cores.h"
#include "train/environment.h"
#include "train/plan_check.h"
#include "train/process.h"
#include "train/recorded_run.h"
#include "train/run_folder.h"
#include "train/run_lock.h"
#include "train/terminal.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

/// What rank 0 keeps of a run besides its weights.
struct Records {
  RunFolder folder;
  RunLock lock;
  Terminal terminal;
  Sinks sinks;
  std::unique_ptr<Checkpoints> checkpoints;  // none if none are to be kept
};

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

/// Of a run that goes on, or of a new one if none was claimed.
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

/// What the summary says of the epochs before a run went on.
void recall(const RunFolder& folder, std::int64_t epochs, metrics::RunSummary& summary) {
  for (metrics::EpochRecord& record : metrics::read_epochs(folder.metrics_jsonl())) {
    record.epochs = epochs;
    summary.last = record;
    if (record.val_accuracy && (!summary.best || *record.val_accuracy > summary.best->val_accuracy))
      summary.best = record;
  }
}

metrics::RunHeader header_of(const Blueprint& blueprint, const comm::World& world, const CoreUse& cores,
                             const Environment& environment, const Trainer& trainer,
                             const device::Backend& backend, const RunFolder& folder) {
  const config::Experiment& experiment = blueprint.experiment;
  const bool is_lockstep = experiment.training.reproducibility == config::Reproducibility::lockstep;
  metrics::RunHeader header;
  header.experiment = experiment.name;
  header.file = experiment.source;
  header.folder = folder.path();
  header.ranks = world.size();
  header.hosts = world.hosts();
  std::sort(header.hosts.begin(), header.hosts.end());
  header.hosts.erase(std::unique(header.hosts.begin(), header.hosts.end()), header.hosts.end());
  header.threads_per_rank = *std::min_element(environment.threads.begin(), environment.threads.end());
  header.max_threads_per_rank = cores.max_threads;
  header.cores_idle = cores.idle;
  header.idle_advice = cores.advice;
  header.device = fmt::format("{}, oneDNN {}", backend.describe(), device::onednn_version());
  header.exchange = world.size() == 1 ? "none"
                    : is_lockstep
                        ? fmt::format("{}, {:.1f} MB a step from each rank", trainer.collective().name(),
                                      static_cast<double>(trainer.collective().bytes_per_step()) / 1e6)
                        : "MPI_Allreduce";
  header.train_samples = blueprint.train.samples;
  header.val_samples = blueprint.validation ? blueprint.validation->samples : 0;
  header.parameters = blueprint.network.parameters.count();
  header.epochs = experiment.training.epochs;
  header.steps_per_epoch = blueprint.steps_per_epoch();
  header.batch = experiment.training.batch;
  header.shards = experiment.training.shards;
  header.reproducibility = is_lockstep ? "lockstep" : "run";
  return header;
}

/// What computes: with anything else, the bits may be others. `plans` is of check_same_plans().
std::string arithmetic_of(const device::Backend& backend, std::uint64_t plans) {
  return fmt::format("{}, oneDNN {}, Lockstep {} ({}), results {:016x}", backend.describe(),
                     device::onednn_version(), build_info().version, build_info().revision, plans);
}

/// Where and with what the run is made, from all ranks. Collective.
Environment gather_environment(comm::World& world, std::int64_t threads, const device::Backend& backend,
                               const comm::Collective& collective, std::uint64_t arithmetic,
                               const std::string& data) {
  Environment environment{.command_line = command_line(),
                          .working_directory = {},
                          .started = std::chrono::system_clock::now(),
                          .machines = {},
                          .threads = std::vector<std::int64_t>(static_cast<std::size_t>(world.size()), 0),
                          .device = backend.describe(),
                          .instruction_set = device::cpu_instruction_set(),
                          .arithmetic = arithmetic,
                          .data = data,
                          .exchange = std::string(collective.name())};
  std::error_code unknown;  // a directory that is gone has no name
  if (world.is_root()) environment.working_directory = std::filesystem::current_path(unknown).string();
  for (const std::string& text : world.all_gather(text_of(this_machine())))
    environment.machines.push_back(parse_machine(text));
  environment.threads[static_cast<std::size_t>(world.rank())] = threads;
  world.sum(environment.threads);
  return environment;
}

/// Rank 0 writes what a run leaves behind. Collective.
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

/// A training that failed still says so in its folder and on the terminal, each if it can: the failure itself
/// is on its way to the user, so another one on the way is not reported.
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

/// Rank 0's, on all ranks: `mpirun … : …` may start each with words of its own. Collective.
std::vector<std::string> share_words(comm::World& world, const std::vector<std::string>& words) {
  std::vector<std::string> shared;
  std::int64_t count = world.is_root() ? std::ssize(words) : 0;
  world.sum({&count, 1});
  for (std::int64_t i = 0; i < count; ++i)
    shared.push_back(world.broadcast(world.is_root() ? words[static_cast<std::size_t>(i)] : ""));
  return shared;
}

/// A run goes on with the instruction set that it has had, unless the experiment names one. `claimed` is rank
/// 0's. Collective.
void pin_own_or_recorded(comm::World& world, const config::Device& device, const ClaimedRun* claimed) {
  std::int64_t goes_on = claimed != nullptr ? 1 : 0;
  world.max({&goes_on, 1});
  if (goes_on == 0 || device.instruction_set != config::InstructionSet::automatic)
    return pin_instruction_set(world, device);
  const RunFolder folder = claimed != nullptr ? claimed->folder : RunFolder(std::filesystem::path());
  pin_recorded_instruction_set(world, share_recorded_instruction_set(world, folder));
}

/// Waiting for the last checkpoint counts as progress, but not for ever: a disk may be slow, or be gone.
class DiskPatience {
 public:
  DiskPatience(comm::Activity& activity, const config::Training& training)
      : activity_(activity), patience_(times * training.watchdog_seconds) {}
  void operator()(std::chrono::steady_clock::duration waited) const {
    if (waited < patience_) activity_.progress();
  }

 private:
  static constexpr int times = 10;
  comm::Activity& activity_;
  std::chrono::seconds patience_;
};

/// What all ranks must know of rank 0's way to begin.
struct SharedOptions {
  bool restores = false;
  std::optional<std::int64_t> until;
};
SharedOptions share_options(comm::World& world, const Beginning& beginning, bool has_snapshot) {
  constexpr std::int64_t never = -1;
  std::array<std::int64_t, 2> facts{has_snapshot ? 1 : 0, beginning.until.value_or(never)};
  world.broadcast_into(std::as_writable_bytes(std::span(facts)));
  return {.restores = facts[0] != 0, .until = facts[1] == never ? std::nullopt : std::optional(facts[1])};
}

/// Throws on all ranks if the training is already where it is to stop.
void check_until(comm::World& world, std::optional<std::int64_t> until, std::int64_t step) {
  world.agree([&] {
    if (until && *until <= step)
      fail(ExitCode::usage, "--until {}: the training has done {} steps already", *until, step);
  });
}

void warn_of_other_arithmetic(const checkpoint::Snapshot& snapshot, const std::string& now) {
  if (snapshot.arithmetic == now) return;
  log::warning(
      "until step {} this was computed with {}, and from here with {}: the bits may not be those of a "
      "training that was never stopped",
      snapshot.global_step, snapshot.arithmetic, now);
}

/// For the header.
std::string text_of(const Position& position, const checkpoint::Snapshot& snapshot,
                    std::int64_t steps_per_epoch) {
  const bool at_end = position.step == 0;
  return fmt::format("after step {} (epoch {}, step {} of {})", snapshot.global_step,
                     position.epoch - (at_end ? 1 : 0), at_end ? steps_per_epoch : position.step,
                     steps_per_epoch);
}

/// Whether there is nothing to train, which rank 0 then says. Collective.
bool is_done_already(comm::World& world, const config::Experiment& experiment, const Beginning& beginning,
                     const std::optional<ClaimedRun>& claimed,
                     const std::optional<checkpoint::Snapshot>& snapshot) {
  std::int64_t done = 0;
  if (claimed && snapshot) {
    const std::string path = claimed->folder.path();
    if (snapshot->epoch > experiment.training.epochs && is_over(claimed->folder)) {
      done = 1;
      fmt::print("{} is finished after {}: nothing to do\n", path,
                 metrics::counted(experiment.training.epochs, "epoch"));
    } else if (beginning.until == snapshot->global_step) {
      done = 1;
      fmt::print("{} is at step {} already: nothing to do\n", path, snapshot->global_step);
    }
  }
  world.max({&done, 1});
  return done != 0;
}

}  // namespace

config::Experiment share_experiment(comm::World& world, const std::string& path,
                                    const std::vector<std::string>& overrides) {
  std::string text;
  world.agree([&] {
    if (world.is_root()) text = config::read_text(path);
  });
  text = world.broadcast(text);
  const std::string roots_path = world.broadcast(path);
  const std::vector<std::string> roots_overrides = share_words(world, overrides);
  config::Experiment experiment;
  world.agree([&] { experiment = config::parse(text, roots_path, roots_overrides); });
  return experiment;
}

ExitCode run_training(comm::World& world, const config::Experiment& experiment, const Beginning& beginning) {
  Blueprint blueprint;
  world.agree([&] {
    check_ranks(experiment, world.size());
    blueprint = make_blueprint(experiment);
  });
  check_same_data(world, blueprint);
  std::optional<ClaimedRun> claimed;  // rank 0's
  std::optional<checkpoint::Snapshot> snapshot;
  world.agree([&] {
    if (!world.is_root()) return;
    claimed = claim_run(experiment, beginning);
    snapshot = load_beginning(experiment, beginning, claimed ? &*claimed : nullptr,
                              blueprint.network.parameters, fingerprint(blueprint));
  });

  if (is_done_already(world, experiment, beginning, claimed, snapshot)) return ExitCode::success;
  const bool goes_on = claimed && claimed->has_begun;

  const CoreUse cores = divide_cores(world, experiment);
  device::prepare_cpu_thread();
  pin_own_or_recorded(world, experiment.device, claimed ? &*claimed : nullptr);
  check_same_build(world, build_facts());
  const auto backend = device::make_cpu_backend();
  const auto workers = make_workers(world, cores.threads);
  Trainer trainer(world, blueprint, *backend, *workers, cores.max_threads);
  const auto options = share_options(world, beginning, snapshot.has_value());
  if (options.restores) trainer.restore(snapshot ? &*snapshot : nullptr);
  check_until(world, options.until, trainer.position().global_step(blueprint.steps_per_epoch()));

  const std::uint64_t plans = check_same_plans(world, trainer.plan_hashes());
  const std::string arithmetic = arithmetic_of(*backend, plans);
  if (snapshot) warn_of_other_arithmetic(*snapshot, arithmetic);
  const Environment environment =
      gather_environment(world, cores.threads, *backend, trainer.collective(), plans, fingerprint(blueprint));
  metrics::RunSummary summary;
  std::unique_ptr<Records> records;  // rank 0's; none on the others
  world.agree([&] {
    if (!world.is_root()) return;
    records = make_records(blueprint, environment, std::move(claimed), trainer.position(), arithmetic);
    if (records->checkpoints)
      records->checkpoints->on_wait(DiskPatience(world.activity(), experiment.training));
    summary.folder = records->folder.path();
    recall(records->folder, experiment.training.epochs, summary);
    auto header = header_of(blueprint, world, cores, environment, trainer, *backend, records->folder);
    if (snapshot)
      header.goes_on = text_of(trainer.position(), *snapshot, blueprint.steps_per_epoch());
    else if (goes_on)
      header.goes_on = "from the start: the run has no checkpoint";
    for (const auto& sink : records->sinks) sink->begin(header);
  });
  snapshot.reset();
  const Sinks no_sinks;
  summary.startup_seconds = process_age_seconds();
  const comm::Watchdog watchdog(world, experiment.training.watchdog_seconds);
  try {
    trainer.run(records ? records->sinks : no_sinks, summary,
                {.checkpoints = records ? records->checkpoints.get() : nullptr, .until = options.until});
    write_results(world, blueprint, trainer.weights(), records.get(), summary);
  } catch (const std::exception& failure) {
    summary.seconds = trainer.seconds();
    if (records) write_failure(*records, summary, failure);
    throw;
  }
  return summary.status == "stopped by a signal" ? ExitCode::preempted : ExitCode::success;
}

}  // namespace lockstep::train
