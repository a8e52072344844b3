#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/partition.h"
#include "comm/world.h"
#include "data/batch_maker.h"
#include "device/accelerator.h"
#include "device/backend.h"
#include "optim/optimizer.h"
#include "train/blueprint.h"
#include "train/divergence.h"
#include "train/memory_check.h"
#include "train/plan_check.h"
#include "train/shard_engine.h"
#include "train/worker_pool.h"

namespace lockstep::train {

class Profile;

/// What there is to do in a step.
struct Step {
  const data::Batch* batch = nullptr;  ///< what Replica::next_batch() gave last
  std::int64_t number = 0;             ///< from 1, over the whole training
  double learning_rate = 0;
  /// Of the next step, where that may begin before this one is over, because nobody will ask what this one
  /// leaves; none: it may not. On all ranks alike.
  std::optional<double> next_learning_rate;
};

/// What a rank computes with. The references must outlive what is made with it.
struct Resources {
  device::Backend& backend;
  WorkerPool& workers;
  device::Accelerator* accelerator = nullptr;  ///< null: replicas live in the host's memory
  device::PlanChoices choices = {};            ///< for the accelerator's plans, the same on all ranks
  Profile* profile = nullptr;                  ///< null: nobody wants to know where the time goes
};

/// A failure of this rank's device after which it cannot do its part of what the others wait for, so that
/// nothing can be agreed on any more: it must be reported at once, and end the job.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

/// One rank's replica of the model, in the memory of the device that computes: weights, gradients, optimizer
/// state, the plans for its shards, what loads their samples, and the way to the other ranks' replicas. Main
/// thread only.
///
/// A step: next_batch(); compute(); then all ranks agree on what happened; update(). Where the device has a
/// clock of its own, update() may return before it is done; whatever is asked next waits for it. It may even
/// have done the step by then, and the next one too (runs_ahead()): a step in which any rank met something
/// wrong changes nothing, and neither does what is begun behind it.
class Replica {
 public:
  virtual ~Replica() = default;
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  /// Who updates the weights, and which floats of the slab this rank does, whose optimizer state it has.
  [[nodiscard]] Ownership ownership() const { return ownership_; }
  [[nodiscard]] Range owned() const { return owned_; }
  /// What this rank's plans make of generated data, for check_same_plans().
  [[nodiscard]] std::span<const PlanHash> plan_hashes() const { return plan_hashes_; }
  /// Whether it has the images of this rank's stripes itself: batches then come without.
  [[nodiscard]] virtual bool has_images() const { return false; }
  /// Whether compute() begins the step behind, if that may begin: the same on all ranks.
  [[nodiscard]] virtual bool runs_ahead() const { return false; }
  /// How gradients travel: "shared memory", …
  [[nodiscard]] virtual std::string exchange() const = 0;
  /// Bytes that this rank sends for a step in lockstep mode.
  [[nodiscard]] virtual std::int64_t bytes_per_step() const = 0;

  /// A copy in the host's memory, valid until the next change of the weights.
  [[nodiscard]] virtual std::span<const float> weights() = 0;
  /// Collective.
  virtual void set_weights(std::span<const float> weights) = 0;
  /// The optimizer's state of the own floats, in the host's memory, for checkpoints. What is written there
  /// counts from state_changed() on.
  [[nodiscard]] virtual std::vector<optim::Optimizer::State> state() = 0;
  virtual void state_changed() = 0;

  /// The next batch will be that of `step` (from 0) of `epoch` (from 1).
  virtual void start_batches(std::int64_t epoch, std::int64_t step) = 0;
  /// The next batch of the epoch, in order, valid until the one after it is asked for or
  /// start_batches() called. Throws what went wrong with its samples; the other ranks can be told. After the
  /// last one of an epoch call start_batches().
  virtual const data::Batch& next_batch() = 0;

  /// Forward and backward of the rank's shards. Returns the totals of each, in order, valid until the next
  /// call. Others may wait for it: a rank that has its batch must get here. `watch` may be null. After any
  /// failure but DeviceLost the other ranks can be told; where the next step may begin, also of its samples.
  /// A step that was begun must come next, unless repair() has undone that.
  virtual std::span<const device::Totals> compute(const Step& step, ShardWatch* watch) = 0;
  /// Turns the sums of all ranks into new weights, by the step that was computed last. Collective.
  virtual void update() = 0;
  /// Whether this rank's part of the last update met a number that is not finite: weights or state are
  /// spoilt.
  [[nodiscard]] virtual bool diverged() = 0;
  /// The first of these numbers, once all ranks know that there are any.
  [[nodiscard]] virtual std::optional<NotFinite> not_finite() = 0;

  /// See MemoryCheck.
  [[nodiscard]] virtual MemoryHashes look() = 0;
  /// Collective.
  virtual void repair(std::int64_t step) = 0;
  [[nodiscard]] virtual std::uint64_t recorded_state() const = 0;
  /// Flips the bits that are due in this step (base/fault.h).
  virtual void flip_memory() = 0;

 protected:
  Replica() = default;
  Ownership ownership_ = Ownership::slices;
  Range owned_;
  std::vector<PlanHash> plan_hashes_;
};

/// Throws on all ranks if any of them fails. `world`, `blueprint` and `dataset`, which has the rank's
/// stripes, must outlive the replica. Collective.
std::unique_ptr<Replica> make_replica(comm::World& world, const Blueprint& blueprint,
                                      const Resources& resources, const data::Dataset& dataset);

}  // namespace lockstep::train
