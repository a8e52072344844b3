#include "train/audit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/error.h"
#include "base/partition.h"
#include "data/hdf5_dataset.h"
#include "metrics/format.h"
#include "train/audit.h"
#include "train/blueprint.h"

namespace lockstep::train {
namespace {

using metrics::counted;
using metrics::grouped;

std::vector<int> ranks_to_check(const config::Experiment& experiment, const AuditOptions& options) {
  std::vector<int> ranks = options.ranks;
  if (ranks.empty()) {
    for (const int count : {1, 2, 3, 4, 8})
      if (count <= experiment.training.shards) ranks.push_back(count);
    if (options.recorded_ranks) ranks.push_back(*options.recorded_ranks);
  }
  for (const int count : ranks) check_ranks(experiment, count);
  std::ranges::sort(ranks);
  ranks.erase(std::ranges::unique(ranks).begin(), ranks.end());
  return ranks;
}

Range epochs_to_check(const config::Experiment& experiment, const AuditOptions& options) {
  const std::int64_t last = experiment.training.epochs;
  if (!options.epoch) return {1, last + 1};
  if (*options.epoch < 1 || *options.epoch > last)
    fail(ExitCode::usage, "{}: there is no epoch {}: the experiment has epochs 1 to {}", experiment.source,
         *options.epoch, last);
  return {*options.epoch, *options.epoch + 1};
}

/// The number of samples in the data file.
std::int64_t count_samples(const config::Experiment& experiment) {
  const config::Split& split = experiment.data.train;
  std::error_code ignored;
  if (!std::filesystem::exists(split.file, ignored))
    fail(ExitCode::no_input,
         "{}: the data file {} is not there, and an audit needs the number of its samples; to say where it "
         "lies now: lockstep audit {} data.train.file=PATH",
         experiment.source, split.file, experiment.source);
  return data::inspect_dataset(split).samples;
}

void check_sample(const config::Experiment& experiment, std::int64_t samples,
                  std::optional<std::int64_t> sample) {
  if (sample && (*sample < 0 || *sample >= samples))
    fail(ExitCode::usage, "{}: there is no sample {}: {} in {} has samples 0 to {}", experiment.source,
         *sample, experiment.data.train.images, experiment.data.train.file, samples - 1);
}

std::string shuffle_text(const config::Experiment& experiment) {
  switch (experiment.data.shuffle) {
    case config::Shuffle::none:
      return "as in the file";
    case config::Shuffle::stripes:
      return fmt::format("each stripe shuffled anew every epoch, seed {}", experiment.seed);
    case config::Shuffle::global:
      return fmt::format("all shuffled anew every epoch, seed {}", experiment.seed);
  }
  fail(ExitCode::internal, "an order of samples without a name");
}

std::string steps_text(const data::Stripes& stripes) {
  const std::int64_t steps = stripes.steps(), last = stripes.step_samples(steps - 1);
  std::string sizes = fmt::format("of {}", counted(stripes.step_samples(0), "sample"));
  if (last != stripes.step_samples(0)) sizes += fmt::format(", the last of {}", grouped(last));
  return fmt::format("{} an epoch {}, each in {}", grouped(steps), sizes, counted(stripes.shards(), "shard"));
}

std::string header(const config::Experiment& experiment, const data::Stripes& stripes,
                   const AuditOptions& options) {
  constexpr const char* line = "  {:<10} {}\n";
  std::string text = fmt::format("{}  {}\n", experiment.name, experiment.source);
  text += fmt::format(line, "samples",
                      fmt::format("{} in {} {}", grouped(stripes.samples()), experiment.data.train.file,
                                  experiment.data.train.images));
  text += fmt::format(line, "steps", steps_text(stripes));
  text += fmt::format(line, "order", shuffle_text(experiment));
  if (options.recorded_ranks)
    text += fmt::format(line, "run", "on " + counted(*options.recorded_ranks, "rank"));
  return text;
}

/// "epoch 3, step 217 (its row 12), shard 5: rank 0 of 1, 1 of 2".
std::string use_text(const SampleAudit& audit, const SampleUse& use, const std::vector<int>& ranks) {
  std::string text =
      fmt::format("step {} (its row {}), shard {}: rank ", grouped(use.step + 1), use.place, use.shard);
  for (const int count : ranks)
    text +=
        fmt::format("{}{} of {}", count == ranks.front() ? "" : ", ", audit.rank_of(use.shard, count), count);
  return text;
}

/// "1", "1 or 2", "1, 2 or 3".
std::string listed(const std::vector<int>& ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == ranks.size() ? " or " : ", ", ranks[i]);
  return text;
}

}  // namespace

std::optional<int> recorded_ranks(const RunFolder& run) {
  std::ifstream file(run.environment());
  const auto environment = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!environment.is_object()) return std::nullopt;
  const auto ranks = environment.find("ranks");
  if (ranks == environment.end() || !ranks->is_number_integer()) return std::nullopt;
  const auto count = ranks->get<std::int64_t>();
  if (count < 1 || count > std::numeric_limits<int>::max()) return std::nullopt;
  return static_cast<int>(count);
}

std::string audit_report(const config::Experiment& experiment, const AuditOptions& options) {
  const std::vector<int> ranks = ranks_to_check(experiment, options);
  const Range epochs = epochs_to_check(experiment, options);
  const std::int64_t samples = count_samples(experiment);
  check_sample(experiment, samples, options.sample);
  const data::Stripes stripes(samples, experiment.training.batch, experiment.training.shards);
  SampleAudit audit(stripes, experiment.data.shuffle, ranks,
                    rows_of({stripes, experiment.data.shuffle, experiment.seed}));

  std::string text = header(experiment, stripes, options) + "\n";
  text += options.sample ? fmt::format("sample {}\n", *options.sample)
                         : "digest of the samples, as in digests.csv\n";
  const std::size_t width = std::to_string(epochs.end - 1).size();
  for (std::int64_t epoch = epochs.begin; epoch < epochs.end; ++epoch) {
    const EpochAudit found = audit.epoch(epoch, options.sample);
    text += fmt::format("  epoch {:>{}}{} {}\n", epoch, width, found.use ? "," : ":",
                        found.use ? use_text(audit, *found.use, ranks) : fmt::format("{:016x}", found.order));
  }
  const std::string checked = epochs.size() == 1
                                  ? fmt::format("epoch {}", epochs.begin)
                                  : fmt::format("epochs {} to {}", epochs.begin, epochs.end - 1);
  return text + fmt::format(
                    "\n{}: each of {} is used exactly once, with {} ranks in the same step and by one rank\n",
                    checked, counted(samples, "sample"), listed(ranks));
}

}  // namespace lockstep::train
