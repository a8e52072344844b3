#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/local_tree.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "device/backend.h"
#include "train/plan_check.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// A shard whose result is hashed as soon as it is computed.
struct ShardWatch {
  std::int64_t shard = -1;
  std::uint64_t hash = 0;  ///< result_hash() of it, after train(), on the rank that has the shard
};

device::ShardInput input_of(const data::ShardBatch& shard, std::int64_t epoch);

/// Hash of the bits that a shard gives: its gradient and its totals. Any thread; allocates nothing.
std::uint64_t result_hash(std::span<const float> gradient, const device::Totals& totals);

/// Runs a rank's shards of a step on its workers: one plan for each number of samples that occurs, one runner
/// for each worker and plan. Which worker takes which shard is decided while it runs and changes no bit of a
/// result.
class ShardEngine {
 public:
  /// `stripes` says which sizes of shard occur among the rank's `shards`. The references must outlive the
  /// engine.
  ShardEngine(device::Backend& backend, const device::Network& network, device::Mode mode,
              const data::Stripes& stripes, Range shards, WorkerPool& workers);

  /// The weights to compute with, a slab: call after each change of them. They stay where they are until the
  /// next call.
  void weights_changed(std::span<const float> weights);

  /// Forward and backward of all shards of the batch; their gradients go into `tree`, which must be fresh
  /// from reset(). Returns the totals of each shard, in order; valid until the next call. `watch` may be
  /// null.
  std::span<const device::Totals> train(const data::Batch& batch, comm::LocalTree& tree,
                                        ShardWatch* watch = nullptr);
  /// Forward only.
  std::span<const device::Totals> evaluate(const data::Batch& batch);

  /// Runs each plan once on generated data, with these weights of generate_weights(); `gradient` is a slab to
  /// work in. weights_changed() must come next.
  std::vector<PlanHash> hash_plans(std::span<const float> weights, std::span<float> gradient);

  /// Bytes of plans and of all workers' runners.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  struct SizedPlan {
    std::int64_t samples;
    bool weights_loaded;
    std::unique_ptr<device::Plan> plan;
    std::vector<std::unique_ptr<device::ShardRunner>> runners;  // by worker
  };
  SizedPlan& plan_for(std::int64_t samples);
  template <class RunShard>
  std::span<const device::Totals> run(const data::Batch& batch, RunShard&& run_shard);

  const device::Network& network_;
  device::Mode mode_;
  WorkerPool& workers_;
  std::span<const float> weights_;
  std::vector<SizedPlan> plans_;
  std::vector<device::Totals> totals_;
};

/// The distinct numbers of samples, none of them 0, that a shard of `shards` has in some step; largest first.
std::vector<std::int64_t> shard_sizes(const data::Stripes& stripes, Range shards);

}  // namespace lockstep::train
