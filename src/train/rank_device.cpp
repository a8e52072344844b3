#include "train/rank_device.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>

#include "comm/collective.h"
#include "comm/devices_of_host.h"
#include "device/accelerated_backend.h"
#include "train/pieces.h"
#include "train/recorded_run.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

/// "fp32 training ", before the number of samples.
std::string prefix_of(config::Precision precision, device::Mode mode) {
  constexpr std::array names{"fp32", "tf32", "bf16"};
  return fmt::format("{} {} ", names.at(static_cast<std::size_t>(precision)),
                     mode == device::Mode::training ? "training" : "evaluation");
}

/// Samples of all that any rank puts through its network at once while it trains: single shards, for checks
/// and in lockstep mode, and what is planned by rank otherwise.
std::set<std::int64_t> training_sizes(const comm::World& world, const Blueprint& blueprint) {
  const data::Stripes stripes = blueprint.train_stripes();
  std::set<std::int64_t> sizes;
  const auto add = [&](Range shards, Pieces pieces) {
    for (const std::int64_t samples : piece_sizes(stripes, shards, pieces)) sizes.insert(samples);
  };
  add({0, stripes.shards()}, Pieces::shards);
  for (int rank = 0; rank < world.size(); ++rank)
    add(comm::shards_of_rank(stripes.shards(), world.size(), rank), pieces_of(blueprint.experiment));
  return sizes;
}

/// Rank 0 plans for every size that any rank has, and tells the others what it chose.
device::PlanChoices agree_on_choices(comm::World& world, const Blueprint& blueprint,
                                     device::Accelerator& accelerator, const device::PlanChoices& recorded) {
  device::PlanChoices choices;
  const auto choose = [&](const auto& sizes, device::Mode mode) {
    for (const std::int64_t samples : sizes) {
      const std::pair key{mode, samples};
      std::string text;
      world.agree([&] {
        if (!world.is_root()) return;
        const auto known = recorded.find(key);
        text =
            accelerator.plan(blueprint.network, samples, mode, known == recorded.end() ? "" : known->second)
                ->choices();
      });
      choices[key] = world.broadcast(text);
    }
  };
  choose(training_sizes(world, blueprint), device::Mode::training);
  if (blueprint.validation) {
    const data::Stripes stripes = blueprint.validation_stripes();
    choose(shard_sizes(stripes, {0, stripes.shards()}), device::Mode::evaluation);
  }
  return choices;
}

}  // namespace

std::string RankDevice::describe() const {
  std::string text = backend->describe();
  if (!accelerator) return fmt::format("{}, oneDNN {}", text, device::onednn_version());
  for (const auto& [name, version] : device::accelerator_libraries())
    text += fmt::format(", {} {}", name, version);
  return text;
}

RankDevice make_rank_device(comm::World& world, const Blueprint& blueprint,
                            const device::PlanChoices& recorded) {
  RankDevice rank;
  const config::Device& settings = blueprint.experiment.device;
  if (settings.kind == config::DeviceKind::cpu) {
    rank.backend = device::make_cpu_backend({.convolutions = settings.convolutions});
    return rank;
  }
  std::vector<device::DeviceFacts> visible;
  world.agree([&] { visible = device::visible_devices(); });
  const device::DeviceFacts own = comm::device_of_rank(world, visible, settings);
  world.agree([&] {
    rank.accelerator = device::make_accelerator({.index = own.index, .precision = settings.precision});
  });
  rank.choices = agree_on_choices(world, blueprint, *rank.accelerator, recorded);
  world.agree(
      [&] { rank.backend = std::make_unique<device::AcceleratedBackend>(*rank.accelerator, rank.choices); });
  return rank;
}

std::string choices_text(const device::PlanChoices& choices, config::Precision precision) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [key, text] : choices)
    json[fmt::format("{}{}", prefix_of(precision, key.first), key.second)] = text;
  return json.dump();
}

device::PlanChoices parse_choices(const std::string& text, config::Precision precision) {
  device::PlanChoices choices;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return choices;
  for (const auto& [key, value] : json.items())
    for (const device::Mode mode : {device::Mode::training, device::Mode::evaluation})
      if (const std::string prefix = prefix_of(precision, mode); value.is_string() && key.starts_with(prefix))
        choices[{mode, std::strtoll(key.c_str() + prefix.size(), nullptr, 10)}] = value.get<std::string>();
  return choices;
}

device::PlanChoices share_recorded_choices(comm::World& world, const RunFolder& run,
                                           config::Precision precision) {
  return parse_choices(world.broadcast(world.is_root() ? recorded_text(run, "algorithms") : ""), precision);
}

}  // namespace lockstep::train
