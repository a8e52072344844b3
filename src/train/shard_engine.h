#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "comm/local_tree.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "device/backend.h"
#include "train/group_schedule.h"
#include "train/joint_shards.h"
#include "train/packing_order.h"
#include "train/pieces.h"
#include "train/plan_check.h"
#include "train/profile.h"
#include "train/shared_shards.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// A shard whose result is hashed as soon as it is computed.
struct ShardWatch {
  std::int64_t shard = -1;
  std::uint64_t hash = 0;  ///< result_hash() of it, after train(), on the rank that has the shard
};

/// Work that there is besides the shards, for workers that would have to wait for others.
struct SideWork {
  std::int64_t pieces = 0;
  std::function<void(std::int64_t piece, int worker)> run;  ///< any thread, each piece once
  std::chrono::nanoseconds WorkerTimes::* time = nullptr;   ///< where it counts
};

device::ShardInput input_of(const data::ShardBatch& shard, std::int64_t epoch);

/// Hash of the bits that a shard gives: its gradient and its totals. Any thread; allocates nothing.
std::uint64_t result_hash(std::span<const float> gradient, const device::Totals& totals);

/// Runs a rank's shards of a step on its workers: one plan for each number of samples that occurs, and for
/// each of them a runner for each worker, or one for groups of shards. Which worker does what is decided
/// while it runs and changes no bit of a result.
class ShardEngine {
 public:
  /// `stripes` says which sizes of shard occur among the rank's `shards`. `team`: ranks that will share
  /// shards, if their network suits. The references must outlive the engine.
  ShardEngine(device::Backend& backend, const device::Network& network, device::Mode mode,
              const data::Stripes& stripes, Range shards, WorkerPool& workers, int team = 1);

  /// From now on the ranks of the collective's team pack weights together, into one copy for all of them:
  /// each has an engine of the same network, mode and instruction set. During set-up; weights_changed() must
  /// come next. `ownership`: who updates the weights. Collective; `collective` must outlive the engine.
  void share_packing(comm::Collective& collective, Ownership ownership);
  /// Whether weights_changed() may follow Collective::hand_on(), instead of all_gather().
  [[nodiscard]] bool packs_together() const { return !packing_rounds_.empty(); }
  /// The weights to compute with, a slab: call after each change of them. They stay where they are until the
  /// next call. Packs them. Where ranks share that, all of them call it together, and as it overwrites what
  /// the others read, all must have waited for each other since any of them used its engine: for the status
  /// of a step, or in a barrier. Each then begins with what its own slice is packed into, and all wait for
  /// each other before it returns.
  void weights_changed(std::span<const float> weights);

  /// Forward and backward of all shards of the batch; their gradients go into `tree`, which must be fresh
  /// from reset(). Returns the totals of each shard, in order; valid until the next call. `watch` may be
  /// null; all ranks watch the same shard. `side` is done by workers without a shard, piece by piece in that
  /// order; where something throws it may be left undone.
  std::span<const device::Totals> train(const data::Batch& batch, comm::LocalTree& tree,
                                        ShardWatch* watch = nullptr, std::span<const SideWork> side = {});
  /// In place of a call of train(), where this rank cannot make it: so that its team does not wait for it.
  void stay_away();
  /// Forward only.
  std::span<const device::Totals> evaluate(const data::Batch& batch);

  /// From now on train() computes these gradients for all shards at once, except in steps in which single
  /// shards are looked at; the bits are the same. `joint`, of the engine's network and backend, must outlive
  /// it, and the tree must have joint.ranges() apart.
  void join(const device::JointGradients& joint);
  /// After join(), if there was one: from now on the ranks of a team compute them together. Then all ranks
  /// call train(), or stay_away(), as often, and wait for each other between one call and the next. The
  /// tree's slabs must be the collective's, which must outlive the engine. During set-up. Collective.
  /// `ownership`: who updates the weights. Where that is each rank a slice, and the team is the whole job, it
  /// is the sums over all shards that they compute, besides the tree: see complete_sums().
  void share_joint_gradients(comm::Collective& collective, Ownership ownership);
  /// What the last train() left out of its tree, so that the sums there have unspecified values: once all
  /// ranks of the team have waited for each other, and until the next train().
  [[nodiscard]] const comm::CompleteSums& complete_sums() const { return complete_sums_; }
  /// After that: from now on whoever of a team is free computes some of the others' shards (shards_to_share),
  /// except in steps in which single shards are looked at. The same holds for train() and the tree, which
  /// takes slabs_with_shared(). All ranks compute with the same weights. During set-up. Collective.
  void share_shards(comm::Collective& collective);
  /// From now on train() adds up how long its work takes, by worker. `profile` must outlive the engine.
  void measure(Profile& profile) { profile_ = &profile; }

  /// Runs each plan once on generated data; the last weights_changed() was with those of generate_weights().
  /// `gradient` is a slab to work in.
  std::vector<PlanHash> hash_plans(std::span<float> gradient);

  /// How it trains: see slabs_with_shared().
  [[nodiscard]] const Grouping& grouping() const { return grouping_; }
  /// Bytes of plans, of all workers' runners, and of packed weights unless another rank keeps them.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  struct SizedPlan {
    std::int64_t samples;
    std::unique_ptr<device::Plan> plan;
    std::unique_ptr<device::GroupRunner> group_runner;          // null unless there are groups
    std::vector<std::unique_ptr<device::ShardRunner>> runners;  // by worker; with groups one, on theirs
  };
  /// Neighbours in a batch, of one size.
  struct Group {
    std::size_t first = 0;                  // in the batch
    device::GroupRunner* runner = nullptr;  // null for empty shards
  };
  void pack_weights(const device::Plan& packer);
  void load_weights(device::Plan& plan);
  [[nodiscard]] const device::Plan* packer() const;
  SizedPlan& plan_for(std::int64_t samples);
  class Training;  // shard_training.cpp
  void prepare(const data::Batch& batch);
  device::ShardRunner* runner_for(std::int64_t samples, int worker);
  void find_groups(std::span<const data::ShardBatch> shards);
  [[nodiscard]] WorkerTimes* times_of(int worker) const;

  const device::Network& network_;
  device::Mode mode_;
  data::Stripes stripes_;
  Range shards_;
  WorkerPool& workers_;
  std::span<const float> weights_;
  std::vector<SizedPlan> plans_;
  std::vector<std::int64_t> loaded_;        // samples of those with the weights at hand
  std::unique_ptr<device::Plan> packer_;    // of a rank without samples, to help those that have some
  comm::Collective* collective_ = nullptr;  // if packed weights are in its team's common memory
  struct PackingRound {
    std::unique_ptr<comm::TeamWork> work;
    PiecesByPlace pieces;
  };
  std::vector<PackingRound> packing_rounds_;  // if so
  AlignedBuffer<float> own_packed_;           // if not
  float* packed_ = nullptr;
  Grouping grouping_;
  std::optional<GroupSchedule> schedule_;  // if there are groups
  std::vector<Group> groups_;              // of the batch in hand
  std::vector<std::size_t> group_sizes_;
  std::vector<device::ShardJob> jobs_;  // their shards'
  std::vector<device::Totals> totals_;
  std::optional<JointShards> joint_;
  comm::CompleteSums complete_sums_;
  std::unique_ptr<SharedShards> shared_;
  Profile* profile_ = nullptr;
};

}  // namespace lockstep::train
