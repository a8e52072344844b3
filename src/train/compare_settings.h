#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml_tree.h"

namespace lockstep::train {

/// Something that two runs say differently about how they were made.
struct SetupDifference {
  std::string key;                  ///< dotted: "training.batch", "model.conv1.filters", "libraries.onednn"
  std::optional<std::string> a, b;  ///< on one line; nothing where a run does not say it
  friend bool operator==(const SetupDifference&, const SetupDifference&) = default;
};

/// The experiment.yaml of a run as a tree. It knows no keys, so that runs of other versions of Lockstep can
/// be compared too. Error(bad_data) naming file and line for what is no YAML.
config::Node parse_experiment(const std::string& yaml, const std::string& path);

/// Where two resolved experiments differ, in the order of `a`. Layers go by their names; a layer, or any
/// mapping, that only one of them has is one difference as a whole.
std::vector<SetupDifference> compare_settings(const config::Node& a, const config::Node& b);

/// Settings, and sections of them, that change no bit of a training.
inline constexpr std::array<std::string_view, 13> settings_without_influence{"name",
                                                                             "output",
                                                                             "digests",
                                                                             "checkpoint",
                                                                             "checks",
                                                                             "device.threads",
                                                                             "device.gpus",
                                                                             "device.branches",
                                                                             "device.data",
                                                                             "faults",
                                                                             "training.watchdog_seconds",
                                                                             "data.train.file",
                                                                             "data.validation.file"};

/// False for settings that say where results go, how often something is written down or how a rank works:
/// none of them changes a bit of the training.
bool changes_results(std::string_view key);

}  // namespace lockstep::train
