#include "train/shard_engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/stopwatch.h"

namespace lockstep::train {

namespace {

/// A group of one, in the first place: for a shard by itself while no group is in flight.
class LoneShard final : public device::ShardRunner {
 public:
  explicit LoneShard(device::GroupRunner& runner) : runner_(runner) {}
  device::Totals train(const device::ShardInput& input, std::span<float> gradient) override {
    device::ShardJob job{.input = input, .gradient = gradient, .totals = {}};
    runner_.forward(0, 0, input);
    runner_.turn(0, 0, {&job, 1});
    runner_.backward(0, 0, job);
    return job.totals;
  }
  device::Totals evaluate(const device::ShardInput& /*input*/) override {
    check(false, "groups are for training");
    return {};
  }

 private:
  device::GroupRunner& runner_;
};

}  // namespace

ShardEngine::ShardEngine(device::Backend& backend, const device::Network& network, device::Mode mode,
                         const data::Stripes& stripes, Range shards, WorkerPool& workers, int team)
    : network_(network),
      mode_(mode),
      stripes_(stripes),
      shards_(shards),
      workers_(workers),
      totals_(static_cast<std::size_t>(shards.size())) {
  for (const std::int64_t samples : shard_sizes(stripes, shards))
    plans_.push_back({samples, backend.plan(network, samples, mode), {}, {}});
  for (const SizedPlan& sized : plans_)
    check(sized.plan->packing() == plans_.front().plan->packing(), "plans pack alike");
  if (!plans_.empty())
    grouping_ = group_shards(*plans_.front().plan, shards, workers.size(), team);
  else if (mode == device::Mode::training)
    packer_ = backend.plan(network, 1, mode);
  check(!grouping_.shares || workers.size() == 1,
        "no group is in flight when a rank comes to the shards that it shares");
  if (grouping_.size > 1) {
    schedule_.emplace(totals_.size(), static_cast<std::size_t>(grouping_.in_flight));
    groups_.reserve(totals_.size());
    group_sizes_.reserve(totals_.size());
    jobs_.resize(totals_.size());
  }
  for (SizedPlan& sized : plans_) {
    if (grouping_.size > 1) {
      sized.group_runner = sized.plan->make_group_runner(grouping_.places(), workers.size());
      check(sized.group_runner != nullptr, "where one plan has groups, those of other sizes have them, too");
      sized.runners.push_back(std::make_unique<LoneShard>(*sized.group_runner));
      continue;
    }
    for (int worker = 0; worker < workers.size(); ++worker)
      sized.runners.push_back(sized.plan->make_runner());
  }
  loaded_.reserve(plans_.size());
}

/// Null where there are no plans that read packed weights, and nobody to pack them for.
const device::Plan* ShardEngine::packer() const {
  return plans_.empty() ? packer_.get() : plans_.front().plan.get();
}

void ShardEngine::share_packing(comm::Collective& collective, Ownership ownership) {
  check(mode_ == device::Mode::training, "ranks without samples could not help in evaluation");
  const std::int64_t floats = packer()->packing().floats;
  if (floats == 0) return;  // on all ranks
  own_packed_ = {};
  packed_ = collective.make_common(floats, "packed weights").data();
  for (PiecesByPlace& pieces : packing_order(*packer(), collective, ownership))
    packing_rounds_.push_back(
        {std::make_unique<comm::TeamWork>(collective, 0, 0, "counting what is packed"), std::move(pieces)});
  // Other teams may need it; in the first one all wait for each other in any case.
  if (is_empty(packing_rounds_.back().pieces)) packing_rounds_.pop_back();
  collective_ = &collective;
}

void ShardEngine::weights_changed(std::span<const float> weights) {
  weights_ = weights;
  loaded_.clear();
  if (packer() != nullptr) pack_weights(*packer());
}

/// By this rank alone, or by those of its team. Plan::pack() does not throw: a rank that did would leave the
/// others waiting.
void ShardEngine::pack_weights(const device::Plan& packer) {
  const device::Packing packing = packer.packing();
  if (packed_ == nullptr && packing.floats > 0) {
    own_packed_ = AlignedBuffer<float>(static_cast<std::size_t>(packing.floats));
    packed_ = own_packed_.data();
  }
  const auto pack = [&](std::int64_t piece, int worker) {
    WorkerTimes* const times = times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    packer.pack(weights_, piece, packed_);
    if (times != nullptr) stopwatch.lap(times->packing);
  };
  if (collective_ == nullptr) {
    if (packing.pieces > 0) workers_.run_pieces(packing.pieces, pack);
    return;
  }
  for (const PackingRound& together : packing_rounds_) {
    const auto pieces_of = [&](int place) -> const std::vector<std::int64_t>& {
      return together.pieces[static_cast<std::size_t>(place)];
    };
    comm::TeamWork::Round round(*together.work);
    round.offer(std::ssize(pieces_of(together.work->place())));
    workers_.run([&](int worker) {
      while (const auto piece = round.take(worker == 0))
        pack(pieces_of(piece->place())[static_cast<std::size_t>(piece->index())], worker);
    });
  }
  const comm::Activity::Waiting waiting(collective_->activity());
  collective_->meet_team();
}

void ShardEngine::join(const device::JointGradients& joint) {
  joint_.emplace(joint, std::ssize(totals_), plans_.empty() ? 0 : plans_.front().samples, workers_);
}

void ShardEngine::share_joint_gradients(comm::Collective& collective, Ownership ownership) {
  if (joint_) joint_->share(collective, ownership);
}

void ShardEngine::share_shards(comm::Collective& collective) {
  check(!joint_ || joint_->is_shared(),
        "who computes a shard of another rank keeps what belongs to it there");
  const Range own = shards_to_share(shards_, grouping_, collective.team().size);
  shared_ = std::make_unique<SharedShards>(collective, stripes_, own, shards_.begin, network_.input.count(),
                                           workers_.size());
}

std::span<const device::Totals> ShardEngine::evaluate(const data::Batch& batch) {
  prepare(batch);
  workers_.run_pieces(std::ssize(batch.shards), [&](std::int64_t piece, int worker) {
    const auto index = static_cast<std::size_t>(piece);
    const data::ShardBatch& shard = batch.shards[index];
    device::ShardRunner* const runner = runner_for(shard.count, worker);
    totals_[index] = runner != nullptr ? runner->evaluate(input_of(shard, batch.epoch)) : device::Totals{};
  });
  return totals_;
}

/// Loads the weights into the plans that the batch needs.
void ShardEngine::prepare(const data::Batch& batch) {
  check(batch.shards.size() == totals_.size(), "a batch has all shards of its rank");
  for (const data::ShardBatch& shard : batch.shards) {
    if (shard.count == 0 || std::ranges::find(loaded_, shard.count) != loaded_.end()) continue;
    load_weights(*plan_for(shard.count).plan);
    loaded_.push_back(shard.count);
  }
}

/// Null for empty shards.
device::ShardRunner* ShardEngine::runner_for(std::int64_t samples, int worker) {
  check(grouping_.size == 1 || grouping_.shares, "shards are trained on one by one, if only the last ones");
  return samples == 0 ? nullptr : plan_for(samples).runners[static_cast<std::size_t>(worker)].get();
}

/// Of shards with which the batch begins.
void ShardEngine::find_groups(std::span<const data::ShardBatch> shards) {
  groups_.clear();
  group_sizes_.clear();
  const data::ShardBatch* before = nullptr;
  for (std::size_t index = 0; index < shards.size(); ++index) {
    const data::ShardBatch& shard = shards[index];
    if (before == nullptr || before->count != shard.count ||
        before->shard / grouping_.size != shard.shard / grouping_.size) {
      groups_.push_back(
          {.first = index, .runner = shard.count == 0 ? nullptr : plan_for(shard.count).group_runner.get()});
      group_sizes_.push_back(0);
    }
    ++group_sizes_.back();
    before = &shard;
  }
}

/// Spreads the pieces over the workers, if there is more to do than to take pointers.
void ShardEngine::load_weights(device::Plan& plan) {
  if (plan.shared_bytes() == 0) {
    for (std::int64_t piece = 0; piece < plan.load_pieces(); ++piece)
      plan.load_piece(weights_, piece, packed_);
    return;
  }
  workers_.run_pieces(plan.load_pieces(), [&](std::int64_t piece, int worker) {
    WorkerTimes* const times = times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    plan.load_piece(weights_, piece, packed_);
    if (times != nullptr) stopwatch.lap(times->packing);
  });
}

ShardEngine::SizedPlan& ShardEngine::plan_for(std::int64_t samples) {
  const auto found = std::find_if(plans_.begin(), plans_.end(),
                                  [&](const SizedPlan& sized) { return sized.samples == samples; });
  check(found != plans_.end(), "every size of shard was planned");
  return *found;
}

std::vector<PlanHash> ShardEngine::hash_plans(std::span<float> gradient) {
  std::vector<PlanHash> hashes;
  for (SizedPlan& sized : plans_) {
    load_weights(*sized.plan);
    hashes.push_back(hash_plan(network_, mode_, sized.samples, *sized.runners.front(), gradient));
  }
  return hashes;
}

std::int64_t ShardEngine::bytes() const {
  std::int64_t total = packer_ == nullptr ? 0 : packer_->shared_bytes();
  const bool keeps_packed = collective_ == nullptr || collective_->team().place == 0;
  if (keeps_packed && packer() != nullptr)
    total += packer()->packing().floats * static_cast<std::int64_t>(sizeof(float));
  for (const SizedPlan& sized : plans_)
    total += sized.plan->shared_bytes() +
             (sized.group_runner ? sized.plan->group_runner_bytes(grouping_.places(), workers_.size())
                                 : sized.plan->runner_bytes() * workers_.size());
  if (joint_) total += joint_->bytes();
  if (shared_) total += shared_->bytes();
  return total;
}

}  // namespace lockstep::train
