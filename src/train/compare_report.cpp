#include "train/compare_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <ranges>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/snapshot.h"
#include "config/overrides.h"
#include "train/compare_digests.h"
#include "train/compare_environment.h"
#include "train/compare_settings.h"
#include "train/compare_tensors.h"
#include "train/compare_text.h"
#include "train/compared_run.h"
#include "train/replay.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

DigestComparison compare_streams(const ComparedRun& a, const ComparedRun& b) {
  const DigestComparison found = compare_digests(a.digests, b.digests);
  if (found.compared == 0)
    fail(ExitCode::bad_data,
         "{} and {} cannot be compared: the first has digests of steps {} to {}, the second of {} "
         "to {}, and none is of the same step",
         a.folder.digests(), b.folder.digests(), a.digests.front().step, found.last_a, b.digests.front().step,
         found.last_b);
  return found;
}

/// Calls f; false, with a warning, when a file turns out to be damaged.
template <class F>
bool attempt(F&& f) {
  try {
    f();
    return true;
  } catch (const Error& error) {
    log::warning("{}", error.what());
    return false;
  }
}

std::vector<std::string> layers_of(const ComparedRun& run) {
  const config::Entry* model = run.experiment.find("model");
  return model == nullptr ? std::vector<std::string>() : config::item_names(model->value);
}

/// From the earliest pair of files that both runs have of a step at or after the difference.
std::string tensors_section(const ComparedRun& a, const ComparedRun& b, std::int64_t step) {
  const std::vector<std::string> layers = layers_of(a);
  const auto compare = [&](const CommonFiles& files, const checkpoint::Format& format) {
    return tensors_text(files.step, compare_tensors(checkpoint::TensorFile(files.a, format),
                                                    checkpoint::TensorFile(files.b, format), layers));
  };
  std::string text;
  for (const CommonFiles& files : common_checkpoints(a, b))
    if (files.step >= step && attempt([&] { text = compare(files, checkpoint::checkpoint_format); }))
      return text;
  std::optional<CommonFiles> weights;
  if (attempt([&] { weights = common_weights(a, b); }) && weights && weights->step >= step &&
      attempt([&] { text = compare(*weights, checkpoint::weights_format); }))
    return text;
  return fmt::format(
      "\nno tensors to compare: there are no checkpoints of both at one step from {} on, nor final "
      "weights of one step\n",
      step);
}

/// The last checkpoint of both before the difference, if all that training goes on from is equal in it.
std::optional<CommonFiles> replay_start(const ComparedRun& a, const ComparedRun& b, std::int64_t step) {
  const auto are_equal = [](const CommonFiles& files) {
    bool equal = false;
    attempt([&] {
      const auto in_a = checkpoint::read_snapshot_header(files.a),
                 in_b = checkpoint::read_snapshot_header(files.b);
      equal = in_a.weights_digest == in_b.weights_digest && in_a.optimizer_digest == in_b.optimizer_digest &&
              in_a.sample_digest == in_b.sample_digest;
    });
    return equal;
  };
  for (const CommonFiles& files : common_checkpoints(a, b) | std::views::reverse)
    if (files.step < step && are_equal(files)) return files;
  return std::nullopt;
}

/// Says where a run went on with another device or instruction set between the two steps, which no one
/// command repeats.
std::string change_text(std::string_view letter, const ComparedRun& run, std::int64_t first,
                        std::int64_t last) {
  const auto sessions = run.sessions_through(last).subspan(run.sessions_through(first).size() - 1);
  for (std::size_t i = sessions.size() - 1; i > 0; --i)
    for (const char* key : {"device", "instruction_set"}) {
      const auto before = json_value(sessions[i - 1].environment, key);
      const auto then = json_value(sessions.back().environment, key);
      if (before == then) continue;
      return fmt::format(
          "{} was computed with {} through step {}, then with {}; its command takes the kind of device, the "
          "precision and the instruction set of the latter for all steps\n",
          letter, before.value_or("?"), sessions[i].after, then.value_or("?"));
    }
  return "";
}

std::string replay_section(const ComparedRun& a, const ComparedRun& b, std::int64_t step,
                           const std::string& program) {
  if (step == 0) return "";
  const auto start = replay_start(a, b, step);
  const Replay of_a = replay_of(a, program, start ? start->a : "", step);
  Replay of_b = replay_of(b, program, start ? start->b : "", step);
  const std::int64_t first = start ? start->step + 1 : 1;
  return fmt::format(
      "\nto compute both again from {}, with a digest after each step:\n  {}\n  {}\n  {} compare {} {}\n{}{}",
      start ? fmt::format("step {}, their last checkpoint in common before that", start->step) : "the start",
      of_a.command, of_b.command, shell_word(program), shell_word(of_a.folder), shell_word(of_b.folder),
      change_text("A", a, first, step), change_text("B", b, first, step));
}

bool needs_one_layout(const ComparedRun& run) {
  return run.setting({"training", "reproducibility"}) == "run";
}

/// Of runs that differ, only what was in force before they do.
SetupDifferences compare_setups(const ComparedRun& a, const ComparedRun& b, std::int64_t last_step) {
  SetupDifferences found;
  for (SetupDifference& setting : compare_settings(a.experiment, b.experiment)) {
    if (setting.key == "device.instruction_set") continue;  // the environments have what it came to
    (changes_results(setting.key) ? found.settings : found.harmless).push_back(std::move(setting));
  }
  EnvironmentDifferences environment =
      compare_environments(a.sessions_through(last_step), b.sessions_through(last_step));
  found.arithmetic = std::move(environment.arithmetic);
  // Of other experiments, or with other sizes of shards, the plans need not compute the same.
  const bool other_data =
      std::ranges::find(found.arithmetic, "data", &SetupDifference::key) != found.arithmetic.end();
  if (!found.settings.empty() || other_data)
    std::erase_if(found.arithmetic,
                  [](const SetupDifference& difference) { return difference.key == "arithmetic"; });
  auto& into = needs_one_layout(a) || needs_one_layout(b) ? found.arithmetic : found.harmless;
  std::ranges::move(environment.layout, std::back_inserter(into));
  return found;
}

}  // namespace

CompareReport compare_runs(const std::string& path_a, const std::string& path_b, const std::string& program) {
  const ComparedRun a = read_run(path_a), b = read_run(path_b);
  const DigestComparison digests = compare_streams(a, b);
  constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
  const SetupDifferences setup = compare_setups(a, b, digests.first ? digests.first->step : all);
  std::string text = verdict_text(digests) + runs_text(a, b);
  if (digests.first) text += tensors_section(a, b, digests.first->step);
  text += setup_text(setup);
  if (!digests.first) return {.identical = true, .text = text};
  if (setup.settings.empty() && setup.arithmetic.empty())
    text += "\nnothing in the set-up explains it: settings, build, libraries and processor are the same\n";
  return {.identical = false, .text = text + replay_section(a, b, digests.first->step, program)};
}

}  // namespace lockstep::train
