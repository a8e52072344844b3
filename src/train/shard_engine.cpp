#include "train/shard_engine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/cpu_pause.h"
#include "base/fault.h"
#include "base/stopwatch.h"
#include "io/hash.h"

namespace lockstep::train {

namespace {

/// A group of one, to be looked at like any shard.
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

void ShardEngine::share_joint_gradients(comm::Collective& collective) {
  if (joint_) joint_->share(collective);
}

void ShardEngine::share_shards(comm::Collective& collective) {
  check(!joint_ || joint_->is_shared(),
        "who computes a shard of another rank keeps what belongs to it there");
  const Range own = shards_to_share(shards_, grouping_, collective.team().size);
  shared_ = std::make_unique<SharedShards>(collective, stripes_, own, shards_.begin, network_.input.count(),
                                           workers_.size());
}

WorkerTimes* ShardEngine::times_of(int worker) const {
  return profile_ == nullptr || !profile_->has_begun() ? nullptr : &profile_->of_worker(worker);
}

/// One call of train().
class ShardEngine::Training {
 public:
  Training(ShardEngine& engine, const data::Batch& batch, comm::LocalTree& tree, ShardWatch* watch,
           std::span<const SideWork> side)
      : engine_(engine), batch_(batch), tree_(tree), watch_(watch), side_(side), shards_(shards_of(batch)) {
    if (engine.shared_) shared_.emplace(*engine.shared_);
    if (engine.joint_) joint_.emplace(*engine.joint_);
    const bool is_watched = watch != nullptr && shards_.contains(watch->shard);
    const bool looks_at_shards = is_watched || fault::any();
    is_grouped_ = engine.grouping_.size > 1;
    offers_ = shared_ && !looks_at_shards;
    helps_ = shared_ && !is_grouped_ && !fault::any();
    is_joint_ = joint_ && !looks_at_shards;
    for (const SideWork& work : side) side_pieces_ += work.pieces;
  }

  /// Before the workers begin.
  void begin() {
    engine_.prepare(batch_);
    if (is_joint_) tree_.set_apart();
    if (offers_) shared_->offer(batch_, tree_);
    if (!is_grouped_) return;
    engine_.find_groups(batch_);
    engine_.schedule_->begin(engine_.group_sizes_);
  }

  /// Any thread, from here on: a worker's part.
  void work(int worker) {
    if (is_grouped_)
      train_groups(worker);
    else
      train_shards(worker);
    while (do_side_work(worker)) {
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
  /// Each by itself: the rank's own ones, and what is offered to all of the team.
  void train_shards(int worker) {
    const std::int64_t first_offered = offers_ ? engine_.shared_->own().begin : shards_.end;
    const std::int64_t not_offered = first_offered - shards_.begin;
    for (std::int64_t index = next_++; index < not_offered; index = next_++) train_shard(index, worker);
    if (!helps_) return;
    while (const auto piece = shared_->take(engine_.loaded_)) {
      if (shared_->is_own(*piece))
        train_shard(not_offered + piece->index(), worker);
      else
        help(*piece, worker);
    }
  }

  void train_shard(std::int64_t index, int worker) {
    const auto at = static_cast<std::size_t>(index);
    device::ShardJob job = job_of(at);
    job.gradient = slab_for(batch_.shards[at].shard);
    job.input.times = pass_times_of(worker);
    fault::stall(fault::Place::compute);
    if (device::ShardRunner* const runner = engine_.runner_for(batch_.shards[at].count, worker))
      job.totals = runner->train(job.input, job.gradient);
    else
      std::ranges::fill(job.gradient, 0.0F);
    add(at, job, worker);
  }

  /// Of the shard with that index in the batch, without a gradient yet.
  [[nodiscard]] device::ShardJob job_of(std::size_t index) const {
    device::ShardJob job{.input = input_of(batch_.shards[index], batch_.epoch), .gradient = {}, .totals = {}};
    if (is_joint_) job.input.kept = engine_.joint_->kept(index);
    return job;
  }

  [[nodiscard]] device::PassTimes* pass_times_of(int worker) const {
    WorkerTimes* const times = engine_.times_of(worker);
    return times != nullptr ? &times->passes : nullptr;
  }

  /// Its gradient is complete.
  void add(std::size_t index, const device::ShardJob& job, int worker) {
    const std::int64_t shard = batch_.shards[index].shard;
    fault::damage_gradient(shards_, shard, job.gradient);
    if (watch_ != nullptr && watch_->shard == shard) watch_->hash = result_hash(job.gradient, job.totals);
    WorkerTimes* const times = engine_.times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    tree_.add(shard, job.gradient);
    if (times != nullptr) stopwatch.lap(times->adding);
    engine_.totals_[index] = job.totals;
  }

  void train_groups(int worker) {
    constexpr int pauses = 64;
    for (;;) {
      const GroupSchedule::Answer next = engine_.schedule_->next();
      switch (next.kind) {
        case GroupSchedule::Answer::Kind::task:
          try {
            do_task(next.task, worker);
          } catch (...) {
            engine_.schedule_->stop();
            throw;
          }
          engine_.schedule_->done(next.task);
          break;
        case GroupSchedule::Answer::Kind::wait:  // no side work: the look at memory is to come last
          for (int i = 0; i < pauses; ++i) cpu_pause();
          std::this_thread::yield();
          break;
        case GroupSchedule::Answer::Kind::end:
          return;
      }
    }
  }

  void do_task(const GroupTask& task, int worker) {
    const Group& group = engine_.groups_[task.group];
    const std::size_t index = group.first + task.shard;
    const auto slot = task.group % static_cast<std::size_t>(engine_.grouping_.in_flight);
    const int place = static_cast<int>(slot) * engine_.grouping_.size + static_cast<int>(task.shard);
    device::ShardJob& job = engine_.jobs_[index];
    switch (task.part) {
      case GroupTask::Part::forward:
        job = job_of(index);
        job.input.times = pass_times_of(worker);
        fault::stall(fault::Place::compute);
        if (group.runner != nullptr) group.runner->forward(place, worker, job.input);
        break;
      case GroupTask::Part::turn: {
        const auto jobs = std::span(engine_.jobs_).subspan(group.first, engine_.group_sizes_[task.group]);
        for (device::ShardJob& each : jobs) each.gradient = tree_.take_slab();
        job.input.times = pass_times_of(worker);
        if (group.runner != nullptr) group.runner->turn(place, worker, jobs);
        break;
      }
      case GroupTask::Part::backward:
        job.input.times = pass_times_of(worker);
        if (group.runner != nullptr)
          group.runner->backward(place, worker, job);
        else
          std::ranges::fill(job.gradient, 0.0F);
        add(index, job, worker);
        break;
    }
  }

  /// A piece, if any is left.
  bool do_side_work(int worker) {
    std::int64_t piece = next_side_++;
    if (piece >= side_pieces_) return false;
    WorkerTimes* const times = engine_.times_of(worker);
    Stopwatch stopwatch(times != nullptr);
    auto work = side_.begin();
    for (; piece >= work->pieces; ++work) piece -= work->pieces;
    work->run(piece, worker);
    if (times != nullptr) stopwatch.lap(times->*work->time);
    return true;
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
    shared_->end(piece, engine_.runner_for(shard.samples, worker)->train(shard.input, shard.gradient));
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
  std::span<const SideWork> side_;
  Range shards_;
  bool is_grouped_ = false;
  bool offers_ = false;    ///< some of its shards to others
  bool helps_ = false;     ///< others with theirs
  bool is_joint_ = false;  ///< not in a step in which single shards of the rank are looked at
  std::optional<SharedShards::Step> shared_;
  std::optional<JointShards::Step> joint_;
  std::atomic<std::int64_t> next_ = 0;
  std::int64_t side_pieces_ = 0;
  std::atomic<std::int64_t> next_side_ = 0;
};

std::span<const device::Totals> ShardEngine::train(const data::Batch& batch, comm::LocalTree& tree,
                                                   ShardWatch* watch, std::span<const SideWork> side) {
  Training training(*this, batch, tree, watch, side);
  training.begin();
  workers_.run([&](int worker) { training.work(worker); });
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
  check(grouping_.size == 1, "shards are trained on one by one");
  return samples == 0 ? nullptr : plan_for(samples).runners[static_cast<std::size_t>(worker)].get();
}

/// Of the shards of the batch.
void ShardEngine::find_groups(const data::Batch& batch) {
  groups_.clear();
  group_sizes_.clear();
  const data::ShardBatch* before = nullptr;
  for (std::size_t index = 0; index < batch.shards.size(); ++index) {
    const data::ShardBatch& shard = batch.shards[index];
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
    const auto hash = [&](device::ShardRunner& runner) {
      hashes.push_back(hash_plan(network_, mode_, sized.samples, runner, gradient));
    };
    if (sized.group_runner) {
      LoneShard lone(*sized.group_runner);
      hash(lone);
    } else {
      hash(*sized.runners.front());
    }
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
