#include "train/shard_engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <functional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "io/hash.h"

namespace lockstep::train {

device::ShardInput input_of(const data::ShardBatch& shard, std::int64_t epoch) {
  return {.images = shard.images, .labels = shard.labels, .rows = shard.rows, .epoch = epoch};
}

std::uint64_t result_hash(std::span<const float> gradient, const device::Totals& totals) {
  const std::array numbers{std::bit_cast<std::uint64_t>(totals.loss),
                           static_cast<std::uint64_t>(totals.correct),
                           static_cast<std::uint64_t>(totals.samples)};
  return io::hash64(std::as_bytes(gradient), io::hash64(std::as_bytes(std::span(numbers)), 0));
}

std::vector<std::int64_t> shard_sizes(const data::Stripes& stripes, Range shards) {
  std::set<std::int64_t, std::greater<>> sizes;
  for (const std::int64_t step : {std::int64_t{0}, stripes.steps() - 1})  // all but the last step are alike
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
      sizes.insert(stripes.rows(step, {shard, shard + 1}).size());
  sizes.erase(0);
  return {sizes.begin(), sizes.end()};
}

ShardEngine::ShardEngine(device::Backend& backend, const device::Network& network, device::Mode mode,
                         const data::Stripes& stripes, Range shards, WorkerPool& workers)
    : network_(network), mode_(mode), workers_(workers), totals_(static_cast<std::size_t>(shards.size())) {
  for (const std::int64_t samples : shard_sizes(stripes, shards)) {
    SizedPlan sized{samples, false, backend.plan(network, samples, mode), {}};
    for (int worker = 0; worker < workers.size(); ++worker)
      sized.runners.push_back(sized.plan->make_runner());
    plans_.push_back(std::move(sized));
  }
}

void ShardEngine::weights_changed(std::span<const float> weights) {
  weights_ = weights;
  for (SizedPlan& sized : plans_) sized.weights_loaded = false;
}

std::span<const device::Totals> ShardEngine::train(const data::Batch& batch, comm::LocalTree& tree,
                                                   ShardWatch* watch) {
  const Range shards{batch.shards.front().shard, batch.shards.back().shard + 1};
  return run(batch, [&](device::ShardRunner* runner, const data::ShardBatch& shard) {
    const std::span<float> gradient = tree.take_slab();
    device::Totals totals;
    fault::stall(fault::Place::compute);
    if (runner != nullptr)
      totals = runner->train(input_of(shard, batch.epoch), gradient);
    else
      std::fill(gradient.begin(), gradient.end(), 0.0F);
    fault::damage_gradient(shards, shard.shard, gradient);
    if (watch != nullptr && watch->shard == shard.shard) watch->hash = result_hash(gradient, totals);
    tree.add(shard.shard, gradient);
    return totals;
  });
}

std::span<const device::Totals> ShardEngine::evaluate(const data::Batch& batch) {
  return run(batch, [&](device::ShardRunner* runner, const data::ShardBatch& shard) {
    return runner != nullptr ? runner->evaluate(input_of(shard, batch.epoch)) : device::Totals{};
  });
}

/// Calls run_shard(runner, shard) for each shard of the batch, spread over the workers; runner is null for an
/// empty one.
template <class RunShard>
std::span<const device::Totals> ShardEngine::run(const data::Batch& batch, RunShard&& run_shard) {
  check(batch.shards.size() == totals_.size(), "a batch has all shards of its rank");
  for (const data::ShardBatch& shard : batch.shards) {
    if (shard.count == 0) continue;
    SizedPlan& sized = plan_for(shard.count);
    if (!std::exchange(sized.weights_loaded, true)) sized.plan->load_weights(weights_);
  }
  std::atomic<std::size_t> next = 0;
  workers_.run([&](int worker) {
    for (std::size_t i = next.fetch_add(1, std::memory_order_relaxed); i < batch.shards.size();
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      const data::ShardBatch& shard = batch.shards[i];
      device::ShardRunner* runner =
          shard.count == 0 ? nullptr : plan_for(shard.count).runners[static_cast<std::size_t>(worker)].get();
      totals_[i] = run_shard(runner, shard);
    }
  });
  return totals_;
}

ShardEngine::SizedPlan& ShardEngine::plan_for(std::int64_t samples) {
  const auto found = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const SizedPlan& sized) { return sized.samples == samples; });
  check(found != plans_.end(), "every size of shard was planned");
  return *found;
}

std::vector<PlanHash> ShardEngine::hash_plans(std::span<const float> weights, std::span<float> gradient) {
  std::vector<PlanHash> hashes;
  for (const SizedPlan& sized : plans_) {
    sized.plan->load_weights(weights);
    hashes.push_back(hash_plan(network_, mode_, sized.samples, *sized.runners.front(), gradient));
  }
  return hashes;
}

std::int64_t ShardEngine::bytes() const {
  std::int64_t total = 0;
  for (const SizedPlan& sized : plans_)
    total += sized.plan->shared_bytes() + sized.plan->runner_bytes() * workers_.size();
  return total;
}

}  // namespace lockstep::train
