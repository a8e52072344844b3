#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/snapshot.h"
#include "config/experiment.h"
#include "tensor/parameters.h"
#include "train/run_folder.h"
#include "train/run_lock.h"

namespace lockstep::train {

/// How a training is to begin, and where to end early.
struct Beginning {
  enum class How : std::uint8_t {
    anew,             ///< a new run
    newest,           ///< the newest unfinished run of the experiment in its output folder, or the one that
                      ///< output.name names; a new one if there is none
    run,              ///< the run in the folder `path`
    from_checkpoint,  ///< a new run that starts from the checkpoint `path` of another
  };
  How how = How::anew;
  std::string path = {};
  std::optional<std::int64_t> until =
      std::nullopt;  ///< stop after this step, counted over the whole training
};

/// A run that goes on: nobody else does anything to its folder meanwhile. Rank 0's.
struct ClaimedRun {
  RunFolder folder;
  RunLock lock;
  bool has_begun = true;  ///< false: it was killed before it had even its experiment, and begins now
};

/// Whether training a run more would repeat what was: it came to its end, or diverged, which it would again.
bool is_over(const RunFolder& run);

/// Whether the run has its final weights after so many epochs, whatever became of its checkpoints.
/// Error(bad_config) when they are of more.
bool has_finished(const RunFolder& run, std::int64_t epochs);

/// Finds and locks the run that goes on; nothing if a new one starts. Error(bad_config) naming the keys when
/// the experiment is no longer the run's; Error(no_input) when there is no such run; errors of RunLock.
std::optional<ClaimedRun> claim_run(const config::Experiment& experiment, const Beginning& beginning);

/// The checkpoint to start from: the newest of the claimed run that can be read (each newer one is reported
/// with what is wrong, and set aside), or the one that `beginning` names. Nothing for a start from the first
/// step. Error(bad_config) naming the keys when it is of another experiment; Error(bad_data) when it is of
/// other data than `data` (as in Snapshot), or when there are checkpoints and none can be read.
std::optional<checkpoint::Snapshot> load_beginning(const config::Experiment& experiment,
                                                   const Beginning& beginning, const ClaimedRun* run,
                                                   const Parameters& parameters, const std::string& data);

}  // namespace lockstep::train
