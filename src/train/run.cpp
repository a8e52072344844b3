#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "checkpoint/weights_file.h"
#include "config/parse.h"
#include "config/print.h"
#include "metrics/console.h"
#include "metrics/csv.h"
#include "metrics/digests.h"
#include "metrics/jsonl.h"
#include "train/blueprint.h"
#include "train/build_info.h"
#include "train/cores.h"
#include "train/environment.h"
#include "train/process.h"
#include "train/run_folder.h"
#include "train/terminal.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

/// What rank 0 keeps of a run besides its weights.
struct Records {
  RunFolder folder;
  Terminal terminal;
  Sinks sinks;
};

std::unique_ptr<metrics::Sink> make_console(const config::Output& output, const Terminal& terminal) {
  metrics::ConsoleOptions options;
  options.progress = wants_progress(output.progress, terminal);
  options.colour = wants_colour(terminal);
  options.width = [&terminal] { return terminal.width(); };
  return std::make_unique<metrics::Console>(terminal.output(), std::move(options));
}

void fill(Records& records, const config::Experiment& experiment, const Environment& environment) {
  records.folder.write_experiment(config::print(experiment));
  records.folder.write_environment(environment_json(environment));
  records.sinks.push_back(make_console(experiment.output, records.terminal));
  records.sinks.push_back(std::make_unique<metrics::Csv>(records.folder.metrics_csv()));
  records.sinks.push_back(std::make_unique<metrics::Jsonl>(records.folder.metrics_jsonl()));
  records.sinks.push_back(std::make_unique<metrics::Digests>(records.folder.digests()));
}

std::unique_ptr<Records> make_records(const config::Experiment& experiment, const Environment& environment) {
  auto records = std::make_unique<Records>(
      Records{RunFolder::make(experiment.output, experiment.name, environment.started),
              Terminal::of_standard_output(),
              {}});
  try {
    fill(*records, experiment, environment);
  } catch (...) {
    records->folder.remove();  // nothing was trained, and the name is free again
    throw;
  }
  return records;
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

/// Ranks that compute with other instructions or libraries would give other bits, depending on which of them
/// has which shard. Throws on all ranks, naming one that differs from rank 0. Collective.
void check_same_arithmetic(comm::World& world, const device::Backend& backend) {
  const std::string mine = fmt::format("{}, oneDNN {}, Lockstep {} ({})", backend.describe(),
                                       device::onednn_version(), build_info().version, build_info().revision);
  const std::string roots = world.broadcast(mine);
  world.agree([&] {
    if (mine != roots)
      fail(ExitCode::bad_config,
           "this rank computes with {}, but rank 0 on {} with {}: the bits of the result would depend on the "
           "ranks. "
           "Start the same build everywhere, and where processors differ, set ONEDNN_MAX_CPU_ISA=AVX2 (or "
           "what "
           "the least of them has) for all ranks: mpirun -x ONEDNN_MAX_CPU_ISA=AVX2",
           mine, world.hosts().front(), roots);
  });
}

/// Where and with what the run is made, from all ranks. Collective.
Environment gather_environment(comm::World& world, std::int64_t threads, const device::Backend& backend,
                               const comm::Collective& collective) {
  Environment environment{.command_line = command_line(),
                          .working_directory = {},
                          .started = std::chrono::system_clock::now(),
                          .machines = {},
                          .threads = std::vector<std::int64_t>(static_cast<std::size_t>(world.size()), 0),
                          .device = backend.describe(),
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

ExitCode run_training(comm::World& world, const config::Experiment& experiment) {
  Blueprint blueprint;
  world.agree([&] {
    check_ranks(experiment, world.size());
    blueprint = make_blueprint(experiment);
  });
  check_same_data(world, blueprint);

  const CoreUse cores = divide_cores(world, experiment);
  device::prepare_cpu_thread();
  const auto backend = device::make_cpu_backend();
  check_same_arithmetic(world, *backend);
  const auto workers = make_workers(world, cores.threads);
  Trainer trainer(world, blueprint, *backend, *workers, cores.max_threads);

  const Environment environment = gather_environment(world, cores.threads, *backend, trainer.collective());
  metrics::RunSummary summary;
  std::unique_ptr<Records> records;  // rank 0's; none on the others
  world.agree([&] {
    if (!world.is_root()) return;
    records = make_records(experiment, environment);
    summary.folder = records->folder.path();
    const auto header = header_of(blueprint, world, cores, environment, trainer, *backend, records->folder);
    for (const auto& sink : records->sinks) sink->begin(header);
  });
  const Sinks no_sinks;
  summary.startup_seconds = process_age_seconds();
  try {
    trainer.run(records ? records->sinks : no_sinks, summary);
    write_results(world, blueprint, trainer.weights(), records.get(), summary);
  } catch (const std::exception& failure) {
    if (records) write_failure(*records, summary, failure);
    throw;
  }
  return summary.status == "finished" ? ExitCode::success : ExitCode::preempted;
}

}  // namespace lockstep::train
