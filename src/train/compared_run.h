#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/store.h"
#include "config/yaml_tree.h"
#include "metrics/record.h"
#include "train/compare_environment.h"
#include "train/run_folder.h"

namespace lockstep::train {

/// What the folder of a run tells, finished or not, without its tensors.
struct ComparedRun {
  RunFolder folder;
  std::string status;             ///< of summary.json; empty when there is none: it goes on, or was cut off
  config::Node experiment;        ///< experiment.yaml
  std::vector<Session> sessions;  ///< ascending, at least one
  std::vector<metrics::DigestRecord> digests;

  /// A setting of the experiment, by its keys; nothing when it is not there or no scalar.
  [[nodiscard]] std::optional<std::string> setting(std::initializer_list<const char*> keys) const;
  /// The sessions in which steps up to this one were computed.
  [[nodiscard]] std::span<const Session> sessions_through(std::int64_t step) const;
};

/// Error(no_input) when there is no such run or a file is missing, Error(bad_data) when one is damaged.
ComparedRun read_run(const std::string& path);

/// Two files of one step, of two runs.
struct CommonFiles {
  std::int64_t step = 0;
  std::string a, b;
};

/// Checkpoints of steps that both runs have one of, steps ascending. Errors as of checkpoint::Store::list.
std::vector<CommonFiles> common_checkpoints(const ComparedRun& a, const ComparedRun& b);

/// The final weights of both; nothing when one has none, or they are of different steps.
std::optional<CommonFiles> common_weights(const ComparedRun& a, const ComparedRun& b);

}  // namespace lockstep::train
