#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "train/run_folder.h"

namespace lockstep::train {

struct AuditOptions {
  std::optional<std::int64_t> epoch;   ///< only this one; none: all of the experiment
  std::optional<std::int64_t> sample;  ///< tell where each epoch uses it, instead of the epochs' orders
  std::vector<int> ranks;              ///< numbers of ranks to check; none: 1, 2, 3, 4, 8 up to the shards
  std::optional<int> recorded_ranks;   ///< how many the run had: checked too unless `ranks` says which
};

/// How many ranks a run was started on, if its folder says so.
std::optional<int> recorded_ranks(const RunFolder& run);

/// Audits how the epochs of an experiment use the training set (train/audit.h); the outcome as text for a
/// person. Opens the data file for the number of samples, and reads no images. Needs neither MPI nor more
/// than one process. Error(usage) for an epoch or sample that the experiment does not have, Error(bad_config)
/// for more ranks than shards, Error(no_input) without the data file, Error(internal) when the audit finds a
/// mistake of Lockstep.
std::string audit_report(const config::Experiment& experiment, const AuditOptions& options);

}  // namespace lockstep::train
