#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "base/log.h"
#include "comm/watchdog.h"
#include "config/parse.h"
#include "metrics/format.h"
#include "train/arithmetic.h"
#include "train/blueprint.h"
#include "train/build_info.h"
#include "train/checkpoints.h"
#include "train/cores.h"
#include "train/doubts.h"
#include "train/environment.h"
#include "train/plan_check.h"
#include "train/process.h"
#include "train/profile.h"
#include "train/rank_device.h"
#include "train/recorded_run.h"
#include "train/run_records.h"
#include "train/settings_text.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

metrics::RunHeader header_of(const Blueprint& blueprint, const comm::World& world, const CoreUse& cores,
                             const Environment& environment, const Trainer& trainer, const RankDevice& device,
                             const RunFolder& folder) {
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
  if (!device.accelerator) {  // a GPU has no use for them
    header.cores_idle = cores.idle;
    header.idle_advice = cores.advice;
  }
  header.device = device.describe();
  if (device.accelerator)
    header.device += trainer.replica().has_images() ? "; samples in its memory" : "; samples from the host";
  header.exchange = world.size() == 1 ? "none"
                    : is_lockstep
                        ? fmt::format("{}, {:.1f} MB a step from each rank", trainer.replica().exchange(),
                                      static_cast<double>(trainer.replica().bytes_per_step()) / 1e6)
                    : device.accelerator ? fmt::format("all-reduce by {}", trainer.replica().exchange())
                                         : "MPI_Allreduce";
  header.train_samples = blueprint.train.samples;
  header.val_samples = blueprint.validation ? blueprint.validation->samples : 0;
  header.parameters = blueprint.network.parameters.count();
  header.epochs = experiment.training.epochs;
  header.steps_per_epoch = blueprint.steps_per_epoch();
  header.batch = experiment.training.batch;
  header.shards = experiment.training.shards;
  header.reproducibility = is_lockstep ? "lockstep" : "run";
  if (experiment.data.augment) header.augmentation = text_of(*experiment.data.augment);
  if (experiment.training.average) header.average = text_of(*experiment.training.average);
  return header;
}

/// What computes: with anything else, the bits may be others. `plans` is of check_same_plans().
std::string arithmetic_of(const RankDevice& device, std::uint64_t plans) {
  return fmt::format("{}, Lockstep {} ({}), results {:016x}", device.describe(), build_info().version,
                     build_info().revision, plans);
}

/// Where and with what the run is made, from all ranks. Collective.
Environment gather_environment(comm::World& world, std::int64_t threads, const RankDevice& device,
                               config::Precision precision, const Replica& replica, std::uint64_t arithmetic,
                               const std::string& data) {
  Environment environment{.command_line = command_line(),
                          .working_directory = {},
                          .started = std::chrono::system_clock::now(),
                          .machines = {},
                          .threads = std::vector<std::int64_t>(static_cast<std::size_t>(world.size()), 0),
                          .device = device.backend->describe(),
                          .instruction_set = device::cpu_instruction_set(),
                          .algorithms = device.accelerator ? choices_text(device.choices, precision) : "",
                          .arithmetic = arithmetic,
                          .data = data,
                          .exchange = replica.exchange()};
  std::error_code unknown;  // a directory that is gone has no name
  if (world.is_root()) environment.working_directory = std::filesystem::current_path(unknown).string();
  for (const std::string& text : world.all_gather(text_of(this_machine())))
    environment.machines.push_back(parse_machine(text));
  if (device.accelerator) {
    const device::DeviceFacts& facts = device.accelerator->facts();
    environment.gpus = world.all_gather(fmt::format("{} {}", facts.index, facts.unique_id));
  }
  environment.threads[static_cast<std::size_t>(world.rank())] = threads;
  world.sum(environment.threads);
  return environment;
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

/// The algorithms of a run that goes on; `claimed` is rank 0's. Collective.
device::PlanChoices recorded_choices(comm::World& world, const std::optional<ClaimedRun>& claimed,
                                     config::Precision precision) {
  std::int64_t goes_on = claimed && claimed->has_begun ? 1 : 0;
  world.max({&goes_on, 1});
  if (goes_on == 0) return {};
  return share_recorded_choices(world, claimed ? claimed->folder : RunFolder(std::filesystem::path()),
                                precision);
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

/// What all ranks must know of rank 0's request.
struct SharedOptions {
  bool restores = false;
  bool profile = false;
  std::optional<std::int64_t> until;
};
SharedOptions share_options(comm::World& world, const Request& request, bool has_snapshot) {
  constexpr std::int64_t never = -1;
  std::array<std::int64_t, 3> facts{has_snapshot ? 1 : 0, request.profile ? 1 : 0,
                                    request.beginning.until.value_or(never)};
  world.broadcast_into(std::as_writable_bytes(std::span(facts)));
  return {.restores = facts[0] != 0,
          .profile = facts[1] != 0,
          .until = facts[2] == never ? std::nullopt : std::optional(facts[2])};
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
                     const std::optional<ClaimedRun>& claimed, bool has_weights,
                     const std::optional<checkpoint::Snapshot>& snapshot) {
  std::int64_t done = 0;
  if (claimed) {
    const std::string path = claimed->folder.path();
    const std::int64_t epochs = experiment.training.epochs;
    if (has_weights || (snapshot && snapshot->epoch > epochs && is_over(claimed->folder))) {
      done = 1;
      fmt::print("{} is finished after {}: nothing to do\n", path, metrics::counted(epochs, "epoch"));
    } else if (snapshot && beginning.until == snapshot->global_step) {
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

ExitCode run_training(comm::World& world, const config::Experiment& experiment, const Request& request) {
  const Beginning& beginning = request.beginning;
  Blueprint blueprint;
  world.agree([&] {
    check_ranks(experiment, world.size());
    blueprint = make_blueprint(experiment);
  });
  check_same_data(world, blueprint);
  if (world.is_root())
    for (const std::string& text : doubts(blueprint)) log::warning("{}", text);
  std::optional<ClaimedRun> claimed;  // rank 0's
  std::optional<checkpoint::Snapshot> snapshot;
  bool has_weights = false;  // that were asked for
  world.agree([&] {
    if (!world.is_root()) return;
    claimed = claim_run(experiment, beginning);
    has_weights = claimed && has_finished(claimed->folder, experiment.training.epochs);
    if (has_weights) return;
    snapshot = load_beginning(experiment, beginning, claimed ? &*claimed : nullptr,
                              blueprint.network.parameters, fingerprint(blueprint));
  });

  if (is_done_already(world, experiment, beginning, claimed, has_weights, snapshot)) return ExitCode::success;
  const bool goes_on = claimed && claimed->has_begun;

  const CoreUse cores = divide_cores(world, experiment);
  device::prepare_cpu_thread();
  pin_own_or_recorded(world, experiment.device, claimed ? &*claimed : nullptr);
  check_same_build(world, build_facts());
  const RankDevice device =
      make_rank_device(world, blueprint, recorded_choices(world, claimed, experiment.device.precision));
  const auto workers = make_workers(world, cores.threads);
  const auto options = share_options(world, request, snapshot.has_value());
  std::optional<Profile> profile;
  if (options.profile) profile.emplace(world, blueprint.network, workers->size());
  Trainer trainer(world, blueprint,
                  {.backend = *device.backend,
                   .workers = *workers,
                   .accelerator = device.accelerator.get(),
                   .choices = device.choices,
                   .profile = profile ? &*profile : nullptr});
  if (options.restores) trainer.restore(snapshot ? &*snapshot : nullptr);
  check_until(world, options.until, trainer.position().global_step(blueprint.steps_per_epoch()));

  const std::uint64_t plans = check_same_plans(world, trainer.plan_hashes());
  const std::string arithmetic = arithmetic_of(device, plans);
  if (snapshot) warn_of_other_arithmetic(*snapshot, arithmetic);
  const Environment environment =
      gather_environment(world, cores.threads, device, experiment.device.precision, trainer.replica(), plans,
                         fingerprint(blueprint));
  metrics::RunSummary summary;
  std::unique_ptr<Records> records;  // rank 0's; none on the others
  world.agree([&] {
    if (!world.is_root()) return;
    records = make_records(blueprint, environment, std::move(claimed), trainer.position(), arithmetic);
    if (records->checkpoints)
      records->checkpoints->on_wait(DiskPatience(world.activity(), experiment.training));
    summary.folder = records->folder.path();
    recall(records->folder, experiment.training.epochs, summary);
    auto header = header_of(blueprint, world, cores, environment, trainer, device, records->folder);
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
    if (profile) {
      const metrics::ProfileRecord record = profile->gather();
      for (const auto& sink : records ? records->sinks : no_sinks) sink->profile(record);
    }
    write_results(world, blueprint, trainer.result(), records.get(), summary);
  } catch (const std::exception& failure) {
    summary.seconds = trainer.seconds();
    if (records) write_failure(*records, summary, failure);
    throw;
  }
  return summary.status == "stopped by a signal" ? ExitCode::preempted : ExitCode::success;
}

}  // namespace lockstep::train
