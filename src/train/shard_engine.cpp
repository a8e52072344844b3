#include "train/shard_engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "base/stopwatch.h"
#include "io/hash.h"

namespace lockstep::train {

namespace {

/// Of the shards of the batch from `first` on, and before `end`, those that have as many samples as the
/// first.
std::size_t end_of_equals(const data::Batch& batch, std::size_t first, std::size_t end) {
  std::size_t last = first + 1;
  while (last < end && batch.shards[last].count == batch.shards[first].count) ++last;
  return last;
}

Range shards_of(const data::Batch& batch) {
  return {batch.shards.front().shard, batch.shards.back().shard + 1};
}

}  // namespace

device::ShardInput input_of(const data::ShardBatch& shard, std::int64_t epoch) {
  return {.images = shard.images, .labels = shard.labels, .rows = shard.rows, .epoch = epoch};
}

std::uint64_t result_hash(std::span<const float> gradient, const device::Totals& totals) {
  const std::array numbers{std::bit_cast<std::uint64_t>(totals.loss),
                           static_cast<std::uint64_t>(totals.correct),
                           static_cast<std::uint64_t>(totals.samples)};
  return io::hash64(std::as_bytes(gradient), io::hash64(std::as_bytes(std::span(numbers)), 0));
}

ShardEngine::ShardEngine(device::Backend& backend, const device::Network& network, device::Mode mode,
                         const data::Stripes& stripes, Range shards, WorkerPool& workers)
    : network_(network),
      mode_(mode),
      stripes_(stripes),
      shards_(shards),
      workers_(workers),
      totals_(static_cast<std::size_t>(shards.size())) {
  for (const std::int64_t samples : shard_sizes(stripes, shards))
    plans_.push_back({samples, backend.plan(network, samples, mode), {}});
  for (const SizedPlan& sized : plans_)
    check(sized.plan->packing() == plans_.front().plan->packing(), "plans pack alike");
  if (!plans_.empty())
    at_a_time_ = shards_at_a_time(*plans_.front().plan, shards, workers.size());
  else if (mode == device::Mode::training)
    packer_ = backend.plan(network, 1, mode);
  for (SizedPlan& sized : plans_)
    for (int worker = 0; worker < workers.size(); ++worker)
      sized.runners.push_back(sized.plan->make_runner(at_a_time_));
  loaded_.reserve(plans_.size());
  jobs_.resize(static_cast<std::size_t>(workers.size()));
  for (auto& jobs : jobs_) jobs.resize(static_cast<std::size_t>(at_a_time_));
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

void ShardEngine::share_joint_gradients(comm::Collective& collective) {
  if (joint_) joint_->share(collective);
}

void ShardEngine::share_shards(comm::Collective& collective) {
  check(!joint_ || joint_->is_shared(),
        "who computes a shard of another rank keeps what belongs to it there");
  const Range own = shards_to_share(shards_, at_a_time_, collective.team().size);
  shared_ = std::make_unique<SharedShards>(collective, stripes_, own, shards_.begin, network_.input.count(),
                                           workers_.size());
}

/// Neighbours in a batch, of one size, for the worker that took them.
struct ShardEngine::Work {
  int worker;
  std::size_t first;  ///< in the batch
  std::span<const data::ShardBatch> shards;
  device::ShardRunner* runner;  ///< null for empty shards
};

WorkerTimes* ShardEngine::times_of(int worker) const {
  return profile_ == nullptr || !profile_->has_begun() ? nullptr : &profile_->of_worker(worker);
}

/// One call of train().
class ShardEngine::Training {
 public:
  Training(ShardEngine& engine, const data::Batch& batch, comm::LocalTree& tree, ShardWatch* watch)
      : engine_(engine), batch_(batch), tree_(tree), watch_(watch), shards_(shards_of(batch)) {
    if (engine.shared_) shared_.emplace(*engine.shared_);
    if (engine.joint_) joint_.emplace(*engine.joint_);
    const bool is_watched = watch != nullptr && shards_.contains(watch->shard);
    const bool looks_at_shards = is_watched || fault::any();
    offers_ = shared_ && !looks_at_shards;
    helps_ = shared_ && !fault::any();
    is_joint_ = joint_ && !looks_at_shards;
  }

  /// Before the workers begin.
  void begin() {
    engine_.prepare(batch_);
    if (is_joint_) tree_.set_apart();
    if (offers_) shared_->offer(batch_, tree_);
  }

  /// Any thread, from here on: a worker's part in the shards.
  void work(int worker) {
    const std::int64_t first_offered = offers_ ? engine_.shared_->own().begin : shards_.end;
    const std::int64_t pieces = count_pieces({shards_.begin, first_offered}, engine_.at_a_time_);
    for (std::int64_t piece = next_++; piece < pieces; piece = next_++) train_piece(piece, worker);
    if (!helps_) return;
    while (const auto piece = shared_->take(engine_.loaded_)) {
      if (shared_->is_own(*piece))
        train_piece(pieces + piece->index(), worker);
      else
        help(*piece, worker);
    }
  }

  /// When all workers have come to the end of their part.
  void end() {
    if (shared_) add_helped();
    const auto times = [this](int worker) { return engine_.times_of(worker); };
    if (is_joint_)
      joint_->add_up(batch_, tree_, times);
    else if (joint_)
      joint_->help(tree_, times);
  }

 private:
  void train_piece(std::int64_t piece, int worker) {
    engine_.run_piece(batch_, piece, worker, [this](const Work& work) { train_shards(work); });
  }

  void train_shards(const Work& work) {
    WorkerTimes* const times = engine_.times_of(work.worker);
    const auto jobs =
        std::span(engine_.jobs_[static_cast<std::size_t>(work.worker)]).first(work.shards.size());
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      jobs[i] = {.input = input_of(work.shards[i], batch_.epoch),
                 .gradient = slab_for(work.shards[i].shard),
                 .totals = {}};
      if (is_joint_) jobs[i].input.kept = engine_.joint_->kept(work.first + i);
      if (times != nullptr) jobs[i].input.times = &times->passes;
      fault::stall(fault::Place::compute);
    }
    if (work.runner != nullptr)
      work.runner->train_together(jobs);
    else
      for (const device::ShardJob& job : jobs) std::ranges::fill(job.gradient, 0.0F);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const std::int64_t shard = work.shards[i].shard;
      fault::damage_gradient(shards_, shard, jobs[i].gradient);
      if (watch_ != nullptr && watch_->shard == shard)
        watch_->hash = result_hash(jobs[i].gradient, jobs[i].totals);
      Stopwatch stopwatch(times != nullptr);
      tree_.add(shard, jobs[i].gradient);
      if (times != nullptr) stopwatch.lap(times->adding);
      engine_.totals_[work.first + i] = jobs[i].totals;
    }
  }

  [[nodiscard]] std::span<float> slab_for(std::int64_t shard) const {
    const std::span<float> offered = shared_ ? shared_->slab_of(shard) : std::span<float>();
    return offered.empty() ? tree_.take_slab() : offered;
  }

  /// Computes a shard of another rank.
  void help(const comm::TeamWork::Piece& piece, int worker) {
    WorkerTimes* const times = engine_.times_of(worker);
    SharedShards::Shard shard = shared_->begin(piece, worker);
    if (joint_) shard.input.kept = engine_.joint_->kept(shard.place, shard.index);
    if (times != nullptr) shard.input.times = &times->passes;
    device::ShardRunner& runner = *engine_.plan_for(shard.samples).runners[static_cast<std::size_t>(worker)];
    shared_->end(piece, runner.train(shard.input, shard.gradient));
  }

  /// Waits for others that compute shards of this rank, and adds these.
  void add_helped() {
    const std::span<const SharedShards::Result> results = shared_->finish();
    WorkerTimes* const times = engine_.times_of(0);
    Stopwatch stopwatch(times != nullptr);
    for (const SharedShards::Result& result : results) {
      tree_.add(result.shard, result.gradient);
      engine_.totals_[static_cast<std::size_t>(result.shard - shards_.begin)] = result.totals;
    }
    if (times != nullptr) stopwatch.lap(times->adding);
  }

  ShardEngine& engine_;
  const data::Batch& batch_;
  comm::LocalTree& tree_;
  ShardWatch* watch_;
  Range shards_;
  bool offers_ = false;    ///< some of its shards to others
  bool helps_ = false;     ///< others with theirs
  bool is_joint_ = false;  ///< not in a step in which single shards of the rank are looked at
  std::optional<SharedShards::Step> shared_;
  std::optional<JointShards::Step> joint_;
  std::atomic<std::int64_t> next_ = 0;
};

std::span<const device::Totals> ShardEngine::train(const data::Batch& batch, comm::LocalTree& tree,
                                                   ShardWatch* watch, std::span<const SideWork> side) {
  Training training(*this, batch, tree, watch);
  training.begin();
  std::int64_t side_pieces = 0;
  for (const SideWork& work : side) side_pieces += work.pieces;
  std::atomic<std::int64_t> next = 0;
  workers_.run([&](int worker) {
    training.work(worker);
    for (std::int64_t piece = next++; piece < side_pieces; piece = next++) do_side_work(side, piece, worker);
  });
  training.end();
  return totals_;
}

void ShardEngine::stay_away() {
  std::optional<SharedShards::Step> shared;
  if (shared_) shared.emplace(*shared_);
  if (joint_) const JointShards::Step step(*joint_);
}

std::span<const device::Totals> ShardEngine::evaluate(const data::Batch& batch) {
  prepare(batch);
  workers_.run_pieces(count_pieces(shards_of(batch), at_a_time_), [&](std::int64_t piece, int worker) {
    run_piece(batch, piece, worker, [&](const Work& work) {
      for (std::size_t i = 0; i < work.shards.size(); ++i)
        totals_[work.first + i] = work.runner != nullptr
                                      ? work.runner->evaluate(input_of(work.shards[i], batch.epoch))
                                      : device::Totals{};
    });
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

/// Calls run_shards, which sets their totals, for the shards of a piece.
template <class RunShards>
void ShardEngine::run_piece(const data::Batch& batch, std::int64_t piece, int worker,
                            RunShards&& run_shards) {
  const Range shards = shards_of(batch);
  const std::int64_t begin = (shards.begin / at_a_time_ + piece) * at_a_time_;
  auto first = static_cast<std::size_t>(std::max(begin, shards.begin) - shards.begin);
  const auto end = static_cast<std::size_t>(std::min(begin + at_a_time_, shards.end) - shards.begin);
  while (first < end) {
    const std::size_t last = end_of_equals(batch, first, end);
    const std::int64_t samples = batch.shards[first].count;
    device::ShardRunner* const runner =
        samples == 0 ? nullptr : plan_for(samples).runners[static_cast<std::size_t>(worker)].get();
    run_shards(Work{worker, first, std::span(batch.shards).subspan(first, last - first), runner});
    first = last;
  }
}

void ShardEngine::do_side_work(std::span<const SideWork> side, std::int64_t piece, int worker) const {
  WorkerTimes* const times = times_of(worker);
  Stopwatch stopwatch(times != nullptr);
  auto work = side.begin();
  for (; piece >= work->pieces; ++work) piece -= work->pieces;
  work->run(piece, worker);
  if (times != nullptr) stopwatch.lap(times->*work->time);
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
    total += sized.plan->shared_bytes() + sized.plan->runner_bytes(at_a_time_) * workers_.size();
  if (joint_) total += joint_->bytes();
  if (shared_) total += shared_->bytes();
  return total;
}

}  // namespace lockstep::train
