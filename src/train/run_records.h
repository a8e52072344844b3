#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "comm/world.h"
#include "metrics/record.h"
#include "train/beginning.h"
#include "train/blueprint.h"
#include "train/checkpoints.h"
#include "train/environment.h"
#include "train/position.h"
#include "train/run_folder.h"
#include "train/run_lock.h"
#include "train/terminal.h"
#include "train/trainer.h"

/// What a run leaves behind besides its checkpoints: rank 0's files and what it shows.
namespace lockstep::train {

struct Records {
  RunFolder folder;
  RunLock lock;
  Terminal terminal;
  Sinks sinks;
  std::unique_ptr<Checkpoints> checkpoints;  ///< none if none are to be kept
};

/// Those of a run that goes on from `position`, or of a new one if none was claimed. Rank 0.
std::unique_ptr<Records> make_records(const Blueprint& blueprint, const Environment& environment,
                                      std::optional<ClaimedRun> claimed, const Position& position,
                                      const std::string& arithmetic);

/// Puts into the summary what the run wrote of the epochs before it went on.
void recall(const RunFolder& folder, std::int64_t epochs, metrics::RunSummary& summary);

/// Weights, summary and the last words to the sinks. `records` are rank 0's, null on the others. Collective.
void write_results(comm::World& world, const Blueprint& blueprint, std::span<const float> weights,
                   const Records* records, metrics::RunSummary& summary);

/// A training that failed still says so in its folder and on the terminal, each if it can: the failure itself
/// is on its way to the user, so another one on the way is not reported. Rank 0.
void write_failure(const Records& records, metrics::RunSummary& summary, const std::exception& failure);

}  // namespace lockstep::train
