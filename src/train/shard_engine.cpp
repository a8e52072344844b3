#include "train/shard_engine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/stopwatch.h"
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

void ShardEngine::join(const device::JointGradients& joint) {
  joint_ = &joint;
  const std::int64_t most_samples = plans_.empty() ? 0 : plans_.front().samples;
  for (std::size_t shard = 0; shard < totals_.size(); ++shard)
    kept_.emplace_back(static_cast<std::size_t>(joint.kept_floats(most_samples)));
  kept_shards_.resize(totals_.size());
}

/// One shard of a batch, for the worker that took it.
struct ShardEngine::Work {
  int worker;
  std::size_t index;  ///< in the batch
  const data::ShardBatch& shard;
  device::ShardRunner* runner;  ///< null for an empty shard
};

WorkerTimes* ShardEngine::times_of(int worker) const {
  return profile_ == nullptr ? nullptr : &profile_->of_worker(worker);
}

std::span<const device::Totals> ShardEngine::train(const data::Batch& batch, comm::LocalTree& tree,
                                                   ShardWatch* watch, std::span<const SideWork> side) {
  const Range shards{batch.shards.front().shard, batch.shards.back().shard + 1};
  const bool is_watched = watch != nullptr && shards.contains(watch->shard);
  const bool together = joint_ != nullptr && !is_watched && !fault::any();
  if (together) tree.set_apart();
  const auto totals = run(batch, side, [&](const Work& work) {
    const std::int64_t shard = work.shard.shard;
    WorkerTimes* const times = times_of(work.worker);
    const std::span<float> gradient = tree.take_slab();
    device::Totals shard_totals;
    fault::stall(fault::Place::compute);
    if (work.runner != nullptr) {
      device::ShardInput input = input_of(work.shard, batch.epoch);
      if (together) input.kept = kept_[work.index].data();
      if (times != nullptr) input.times = &times->passes;
      shard_totals = work.runner->train(input, gradient);
    } else {
      std::fill(gradient.begin(), gradient.end(), 0.0F);
    }
    fault::damage_gradient(shards, shard, gradient);
    if (watch != nullptr && watch->shard == shard) watch->hash = result_hash(gradient, shard_totals);
    Stopwatch stopwatch(times != nullptr);
    tree.add(shard, gradient);
    if (times != nullptr) stopwatch.lap(times->adding);
    return shard_totals;
  });
  if (together) add_joint_gradients(batch, tree);
  return totals;
}

/// Spreads the pieces of all sums over the workers.
void ShardEngine::add_joint_gradients(const data::Batch& batch, const comm::LocalTree& tree) {
  for (std::size_t i = 0; i < batch.shards.size(); ++i)
    kept_shards_[i] = {.data = kept_[i].data(), .samples = batch.shards[i].count};
  const std::int64_t pieces = joint_->pieces();
  workers_.run_pieces(
      pieces * static_cast<std::int64_t>(tree.sum_count()), [&](std::int64_t piece, int worker) {
        WorkerTimes* const times = times_of(worker);
        Stopwatch stopwatch(times != nullptr);
        const comm::LocalTree::Sum sum = tree.sum(static_cast<std::size_t>(piece / pieces));
        const auto first = static_cast<std::size_t>(sum.tree.first - batch.shards.front().shard);
        joint_->add_up(piece % pieces,
                       std::span(kept_shards_).subspan(first, static_cast<std::size_t>(sum.tree.count)),
                       sum.slab.data());
        if (times != nullptr) stopwatch.lap(times->adding);
      });
}

std::span<const device::Totals> ShardEngine::evaluate(const data::Batch& batch) {
  return run(batch, {}, [&](const Work& work) {
    return work.runner != nullptr ? work.runner->evaluate(input_of(work.shard, batch.epoch))
                                  : device::Totals{};
  });
}

/// Calls run_shard for each shard of the batch, spread over the workers; then they do what is aside.
template <class RunShard>
std::span<const device::Totals> ShardEngine::run(const data::Batch& batch, std::span<const SideWork> side,
                                                 RunShard&& run_shard) {
  check(batch.shards.size() == totals_.size(), "a batch has all shards of its rank");
  for (const data::ShardBatch& shard : batch.shards) {
    if (shard.count == 0) continue;
    SizedPlan& sized = plan_for(shard.count);
    if (!std::exchange(sized.weights_loaded, true)) load_weights(*sized.plan);
  }
  const std::int64_t shards = std::ssize(batch.shards);
  std::int64_t pieces = shards;
  for (const SideWork& work : side) pieces += work.pieces;
  workers_.run_pieces(pieces, [&](std::int64_t piece, int worker) {
    if (piece >= shards) return do_side_work(side, piece - shards, worker);
    const auto index = static_cast<std::size_t>(piece);
    const data::ShardBatch& shard = batch.shards[index];
    device::ShardRunner* runner =
        shard.count == 0 ? nullptr : plan_for(shard.count).runners[static_cast<std::size_t>(worker)].get();
    totals_[index] = run_shard(Work{worker, index, shard, runner});
  });
  return totals_;
}

void ShardEngine::do_side_work(std::span<const SideWork> side, std::int64_t piece, int worker) const {
  WorkerTimes* const times = times_of(worker);
  Stopwatch stopwatch(times != nullptr);
  auto work = side.begin();
  for (; piece >= work->pieces; ++work) piece -= work->pieces;
  work->run(piece, worker);
  if (times != nullptr) stopwatch.lap(times->*work->time);
}

/// Spreads the pieces over the workers.
void ShardEngine::load_weights(device::Plan& plan) {
  workers_.run_pieces(plan.load_pieces(), [&](std::int64_t piece, int worker) {
    WorkerTimes* const times = times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    plan.load_piece(weights_, piece);
    if (times != nullptr) stopwatch.lap(times->packing);
  });
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
  for (const AlignedBuffer<float>& kept : kept_) total += static_cast<std::int64_t>(kept.span().size_bytes());
  return total;
}

}  // namespace lockstep::train
