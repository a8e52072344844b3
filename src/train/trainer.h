#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/collective.h"
#include "comm/gradient_reducer.h"
#include "comm/local_tree.h"
#include "comm/world.h"
#include "data/loader.h"
#include "metrics/record.h"
#include "metrics/sink.h"
#include "optim/optimizer.h"
#include "train/blueprint.h"
#include "train/divergence.h"
#include "train/evaluator.h"
#include "train/memory_check.h"
#include "train/meter.h"
#include "train/shard_engine.h"
#include "train/status.h"
#include "train/updater.h"

namespace lockstep::train {

/// Where the metrics of rank 0 go; empty on the other ranks.
using Sinks = std::vector<std::unique_ptr<metrics::Sink>>;

/// One rank's replica of the training: its share of the data, its workers, the weights, and the loop over
/// steps and epochs. Main thread only.
class Trainer {
 public:
  /// Reads this rank's stripes, plans the network, writes the initial weights. Collective; throws on all
  /// ranks if any of them fails. The references must outlive the trainer. `max_threads` is the size of the
  /// largest pool of workers that any rank has.
  Trainer(comm::World& world, const Blueprint& blueprint, device::Backend& backend, WorkerPool& workers,
          std::int64_t max_threads);

  /// Trains all epochs, or until a signal asks to stop, which it does after the step in hand. Collective.
  /// Throws the same Error on all ranks when one of them fails, and Error(bad_data) naming epoch, step and
  /// tensor when a gradient, a weight or the loss is not finite; `summary` then says how far it came.
  void run(const Sinks& sinks, metrics::RunSummary& summary);

  [[nodiscard]] std::span<const float> weights() const { return weights_; }
  [[nodiscard]] const comm::Collective& collective() const { return *collective_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct EpochEnd {
    bool whole = true;  ///< false when it was left early because a signal asked for it
    bool stop_requested = false;
    std::uint64_t weights_digest = 0;
  };
  EpochEnd train_epoch(std::int64_t epoch, const Sinks& sinks, metrics::RunSummary& summary);
  StepStatus train_step(std::int64_t epoch, std::int64_t step, const Sinks& sinks);
  void report_digest(const metrics::DigestRecord& record, const Sinks& sinks);
  metrics::EpochDigests epoch_digests(const metrics::EpochRecord& record);
  metrics::EpochRecord finish_epoch(std::int64_t epoch, Clock::time_point started);
  void report_step(std::int64_t epoch, std::int64_t step, const Sinks& sinks);
  [[nodiscard]] double learning_rate(std::int64_t global_step) const;
  RankStatus own_status();
  StepStatus agree_on_step(std::int64_t epoch, std::int64_t step, const RankStatus& own);
  [[noreturn]] void fail_diverged(std::int64_t epoch, std::int64_t step, const StepStatus& status);

  comm::World& world_;
  const Blueprint& blueprint_;
  data::Stripes stripes_;
  Range shards_;
  WorkerPool& workers_;
  std::unique_ptr<comm::Collective> collective_;
  std::span<float> weights_;
  std::unique_ptr<comm::GradientReducer> reducer_;
  comm::LocalTree tree_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  MemoryCheck memory_;
  Updater updater_;
  std::unique_ptr<data::Dataset> dataset_;
  std::optional<data::Loader> loader_;
  std::optional<ShardEngine> engine_;
  Meter meter_;
  std::optional<Evaluator> evaluator_;

  std::optional<NotFinite> diverged_;  // met by this rank in its last update
  std::exception_ptr digest_failure_;  // of a sink, in the last step
  std::optional<double> last_loss_;    // of the last step that all ranks found good
  Clock::time_point run_started_, epoch_started_;
  double epoch_loss_sum_ = 0;  // of all ranks in this epoch so far, for display
  std::int64_t epoch_correct_ = 0, epoch_samples_ = 0;
  std::uint64_t order_hash_ = 0;  // of this rank's shards in this epoch so far
};

}  // namespace lockstep::train
