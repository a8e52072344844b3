#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/snapshot.h"
#include "checkpoint/store.h"
#include "checkpoint/writer.h"
#include "config/experiment.h"
#include "tensor/parameters.h"
#include "train/position.h"

namespace lockstep::train {

/// The checkpoints that a training takes: when one is due, and the writing of it behind the training. Rank
/// 0's; main thread.
///
/// Before a checkpoint appears under its name, the run's tables are synced, so that on disk they always reach
/// at least as far as the newest checkpoint does.
class Checkpoints {
 public:
  /// What is the same in all checkpoints of a run.
  struct Facts {
    std::string experiment, data, arithmetic;  ///< as in Snapshot
    std::int64_t steps_per_epoch = 0;
  };
  /// Makes the store's folder; Error(cannot_create). `tables` are files of the run that grow. `parameters`
  /// must outlive it.
  Checkpoints(const config::Checkpoint& settings, const Parameters& parameters, checkpoint::Store store,
              std::vector<std::string> tables, Facts facts);

  /// Is called, every second or so, with how long submit() or finish() have been waiting for the disk.
  using OnWait = std::function<void(std::chrono::steady_clock::duration waited)>;
  void on_wait(OnWait on_wait) { on_wait_ = std::move(on_wait); }

  /// Whether one is to be taken when the training has come to `position`. One that is due is so until it is
  /// taken; while another is being written, none is. Reports a write that failed: a warning, or its Error,
  /// as the setting says. Allocates nothing unless there is something to report.
  bool due(const Position& position);
  /// A snapshot with the facts, whose buffers may be those of an earlier one.
  checkpoint::Snapshot buffers();
  /// Takes one: waits only if another is being written. Errors as due().
  void submit(checkpoint::Snapshot&& snapshot);
  /// Waits until the last one is on disk. Errors as due(); where it is needed to go on from, in any case.
  void finish(bool is_needed);

 private:
  using Clock = std::chrono::steady_clock;
  template <class Work>
  void report_failure_of(Work&& work);
  void wait();

  config::Checkpoint settings_;
  Facts facts_;
  checkpoint::Store store_;
  OnWait on_wait_;
  bool due_ = false;
  Clock::time_point last_ = Clock::now();
  checkpoint::Writer writer_;  // last: its thread uses the others
};

}  // namespace lockstep::train
