#include "train/evaluate_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/aligned_buffer.h"
#include "checkpoint/weights_file.h"
#include "comm/collective.h"
#include "device/cpu/instruction_set.h"
#include "train/arithmetic.h"
#include "train/cores.h"
#include "train/evaluator.h"
#include "train/rank_device.h"
#include "train/recorded_run.h"
#include "train/run_folder.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

struct Recorded {
  double loss = 0, accuracy = 0;
};

/// What the run wrote down for the epoch after which its weights were saved; none if it stopped within an
/// epoch.
std::optional<Recorded> recorded_metrics(const RunFolder& run, const checkpoint::WeightsInfo& info,
                                         std::int64_t steps_per_epoch) {
  if (info.step != info.epoch * steps_per_epoch) return std::nullopt;
  std::ifstream file(run.summary());
  const auto summary = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json::json_pointer last("/last");
  if (summary.is_discarded() || !summary.contains(last)) return std::nullopt;
  const nlohmann::json& record = summary[last];
  if (!record.is_object() || !record.contains("epoch") || record["epoch"] != info.epoch) return std::nullopt;
  const auto loss = record.find("val_loss");
  const auto accuracy = record.find("val_accuracy");
  if (loss == record.end() || !loss->is_number() || accuracy == record.end() || !accuracy->is_number())
    return std::nullopt;
  return Recorded{loss->get<double>(), accuracy->get<double>()};
}

void check_finite(const Parameters& parameters, std::span<const float> weights, const std::string& file) {
  const auto bad =
      std::find_if_not(weights.begin(), weights.end(), [](float value) { return std::isfinite(value); });
  if (bad != weights.end())
    fail(ExitCode::bad_data, "{}: {} holds a number that is not finite: this run diverged", file,
         parameters.at_offset(bad - weights.begin()).name);
}

}  // namespace

ExitCode evaluate_run(comm::World& world, const std::string& folder,
                      const std::vector<std::string>& overrides) {
  const RunFolder run{std::filesystem::path(folder)};
  world.agree([&] {
    for (const std::string& text : overrides)
      if (!text.starts_with("device.") && !text.starts_with("data.validation.") &&
          !text.starts_with("data.validation="))
        fail(ExitCode::usage,
             "override '{}': only device and data.validation may be others than the run's when it is "
             "evaluated",
             text);
  });
  const config::Experiment experiment = share_recorded_experiment(world, run, overrides);
  Blueprint blueprint;
  world.agree([&] {
    if (!experiment.data.validation)
      fail(ExitCode::bad_config, "{}: there is no data.validation to evaluate on", run.experiment());
    check_ranks(experiment, world.size());
    blueprint = make_blueprint(experiment);
  });
  check_same_data(world, blueprint);

  AlignedBuffer<float> weights;
  checkpoint::WeightsInfo info;
  world.agree([&] {
    weights = AlignedBuffer<float>(static_cast<std::size_t>(blueprint.network.parameters.slab_size()));
    if (!world.is_root()) return;
    std::error_code ignored;
    if (json_value_of_file(run.summary(), "status") == "diverged" &&
        !std::filesystem::exists(run.final_weights(), ignored))
      fail(ExitCode::bad_data, "{} diverged, so there are no weights to evaluate", run.path());
    info = checkpoint::read_weights(run.final_weights(), blueprint.network.parameters, weights.span());
    check_finite(blueprint.network.parameters, weights.span(), run.final_weights());
  });
  world.broadcast_into(std::as_writable_bytes(weights.span()));

  const config::InstructionSet recorded_set = share_recorded_instruction_set(world, run);
  const config::InstructionSet set = pin_recorded_instruction_set(world, recorded_set);
  check_same_build(world, build_facts());
  const auto workers = make_workers(world, divide_cores(world, experiment).threads);
  const RankDevice device =
      make_rank_device(world, blueprint, share_recorded_choices(world, run, experiment.device.precision));
  const Range shards = comm::shards_of_rank(experiment.training.shards, world.size(), world.rank());
  std::optional<Evaluator> evaluator;
  world.agree([&] {
    evaluator.emplace(blueprint,
                      Resources{.backend = *device.backend,
                                .workers = *workers,
                                .accelerator = device.accelerator.get(),
                                .choices = device.choices},
                      shards);
  });
  const device::Totals totals = evaluator->evaluate(world, weights.span());
  if (!world.is_root()) return ExitCode::success;

  fmt::print("{}: weights after epoch {} (step {}), {} samples of {}\n", folder, info.epoch, info.step,
             totals.samples, blueprint.validation->file);
  fmt::print("validation loss {} accuracy {}\n", mean_loss(totals), accuracy(totals));
  if (!device.accelerator && recorded_set != config::InstructionSet::automatic && set != recorded_set)
    fmt::print("computed with {}: the run's {} is not what every processor here has, or may use\n",
               device::cpu::name_of(set), device::cpu::name_of(recorded_set));
  if (const auto recorded = recorded_metrics(run, info, blueprint.steps_per_epoch())) {
    const bool same = recorded->loss == mean_loss(totals) && recorded->accuracy == accuracy(totals);
    if (same)
      fmt::print("the same as the run recorded, to the bit\n");
    else
      fmt::print("the run recorded loss {} accuracy {}: not the same\n", recorded->loss, recorded->accuracy);
  }
  return ExitCode::success;
}

}  // namespace lockstep::train
