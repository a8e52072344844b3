#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/world.h"
#include "data/dataset.h"
#include "metrics/record.h"
#include "metrics/sink.h"
#include "train/arithmetic_check.h"
#include "train/blueprint.h"
#include "train/checkpoints.h"
#include "train/evaluator.h"
#include "train/meter.h"
#include "train/plan_check.h"
#include "train/position.h"
#include "train/replica.h"
#include "train/status.h"
#include "train/weight_average.h"

namespace lockstep::train {

/// Where the metrics of rank 0 go; empty on the other ranks.
using Sinks = std::vector<std::unique_ptr<metrics::Sink>>;

/// One rank's replica of the training: its share of the data, its workers, the weights, and the loop over
/// steps and epochs. Main thread only.
class Trainer {
 public:
  /// Reads this rank's stripes, plans the network, writes the initial weights. Collective; throws on all
  /// ranks if any of them fails. The references, and what the resources refer to, must outlive the trainer.
  Trainer(comm::World& world, const Blueprint& blueprint, const Resources& resources);

  /// Goes on from the root's snapshot, of a training of this experiment on any number of ranks; the others
  /// pass null. Collective; throws on all ranks if the snapshot does not fit.
  void restore(const checkpoint::Snapshot* from);

  /// Besides the sinks, where a run leaves something.
  struct Options {
    Checkpoints* checkpoints = nullptr;  ///< rank 0's, which must outlive the run; null: none are taken
    std::optional<std::int64_t> until =
        std::nullopt;  ///< stop after this step, counted over the whole training
  };
  /// Trains all epochs that are left, or until a signal asks to stop, which it does after the step in hand,
  /// or the one that has begun behind it.
  /// The last checkpoint is on disk when it returns. Collective. Throws the same Error on all ranks when one
  /// of them fails, and Error(bad_data) naming epoch, step and tensor when a gradient, a weight or the loss
  /// is not finite; `summary` then says how far it came.
  void run(const Sinks& sinks, metrics::RunSummary& summary, const Options& options);

  [[nodiscard]] const Position& position() const { return position_; }
  /// Of training, in this process and before it.
  [[nodiscard]] double seconds() const;
  [[nodiscard]] std::span<const float> weights() { return replica_->weights(); }
  /// What the training has come to: the average of weights as far as there is one, else the weights. Valid
  /// until it goes on. Collective: throws on all ranks if an average in memory is not what was written.
  [[nodiscard]] std::span<const float> result();
  [[nodiscard]] const Replica& replica() const { return *replica_; }
  /// What this rank's plans make of generated data, for check_same_plans().
  [[nodiscard]] std::span<const PlanHash> plan_hashes() const { return plan_hashes_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct EpochEnd {
    bool stop = false;   ///< by a signal, or at the step that was asked for
    bool whole = false;  ///< all its steps are done
    StepStatus status;   ///< after its last step
  };
  EpochEnd train_epoch(const Sinks& sinks, metrics::RunSummary& summary);
  StepStatus train_step(const Sinks& sinks);
  [[nodiscard]] bool must_pause() const;
  void begin_epoch(std::int64_t epoch);
  void take_checkpoint(const Sinks& sinks, const StepStatus& status,
                       std::optional<double> val_accuracy = std::nullopt);
  /// Does what may fail on rank 0 alone while all are in the midst of a step: the next status tells the
  /// others.
  template <class Work>
  void report(Work&& work) {
    try {
      work();
    } catch (...) {
      report_failure_ = std::current_exception();
    }
  }
  metrics::EpochDigests epoch_digests(const metrics::EpochRecord& record);
  std::optional<metrics::EpochRecord> finish_epoch(Clock::time_point started);
  [[nodiscard]] Step step_of(const data::Batch& batch) const;
  [[nodiscard]] bool validates() const;
  void add_to_average();
  void report_step(const Sinks& sinks);
  void warn_of_validation(double loss);
  void acknowledge_stop();
  [[nodiscard]] std::uint64_t optimizer_digest();
  [[nodiscard]] std::int64_t global_step() const { return position_.global_step(stripes_.steps()); }
  [[nodiscard]] double learning_rate(std::int64_t global_step) const;
  RankStatus own_status(std::optional<Position> next = std::nullopt);
  StepStatus agree_on_step(const RankStatus& own);
  [[noreturn]] void fail_diverged(const StepStatus& status);

  comm::World& world_;
  const Blueprint& blueprint_;
  data::Stripes stripes_;
  Range shards_;
  std::unique_ptr<data::Dataset> dataset_;
  std::optional<ArithmeticCheck> arithmetic_;
  Meter meter_;
  std::optional<Evaluator> evaluator_;
  std::vector<PlanHash> plan_hashes_;
  std::optional<WeightAverage> average_;
  std::unique_ptr<Replica> replica_;  // goes first: after a failure it stops what others may be waiting for

  Options options_;
  Position position_;                  // between two steps; within one, before it
  bool pauses_ = true;                 // the step at hand is done before the next one begins: always, if
                                       // the replica does not run ahead
  std::uint64_t order_hash_ = 0;       // of this rank's shards in this epoch so far
  std::exception_ptr report_failure_;  // of a sink or of a checkpoint, in the last step
  std::optional<double> last_loss_;    // of the last step that all ranks found good
  Clock::time_point run_started_, epoch_started_;
  double seconds_before_ = 0;        // of training, before this process
  device::Totals shown_;             // of all ranks in this epoch so far, for display
  std::int64_t samples_before_ = 0;  // of them, trained on before this process
  bool warned_of_validation_ = false, has_acknowledged_ = false;
};

}  // namespace lockstep::train
