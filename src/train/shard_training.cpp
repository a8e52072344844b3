// One call of ShardEngine::train().
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <thread>

#include "base/check.h"
#include "base/cpu_pause.h"
#include "base/fault.h"
#include "base/stopwatch.h"
#include "io/hash.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

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
    is_grouped_ = engine.grouping_.size > 1;
    offers_ = shared_ && !is_watched && !fault::any();
    helps_ = shared_ && (!is_grouped_ || engine.grouping_.shares) && !fault::any();
    is_joint_ = joint_ && !is_watched && !fault::damages_gradients();
    const bool any_rank_watches = watch != nullptr && watch->shard >= 0;
    completes_ = is_joint_ && !any_rank_watches && engine.joint_->can_complete();
    not_offered_ = offers_ ? engine.shared_->own().begin - shards_.begin : shards_.size();
    for (const SideWork& work : side) side_pieces_ += work.pieces;
  }

  /// Before the workers begin.
  void begin() {
    engine_.complete_sums_ = {};
    engine_.prepare(batch_);
    if (is_joint_) tree_.set_apart();
    if (offers_) shared_->offer(batch_, tree_);
    if (!is_grouped_) return;
    engine_.find_groups(std::span(batch_.shards).first(static_cast<std::size_t>(not_offered_)));
    engine_.schedule_->begin(engine_.group_sizes_);
  }

  /// Any thread, from here on: a worker's part.
  void work(int worker) {
    if (is_grouped_)
      train_groups(worker);
    else
      for (std::int64_t index = next_++; index < not_offered_; index = next_++) train_shard(index, worker);
    if (helps_) train_offered(worker);
    while (do_side_work(worker)) {
    }
  }

  /// When all workers have come to the end of their part.
  void end() {
    if (shared_) add_helped();
    const auto times = [this](int worker) { return engine_.times_of(worker); };
    if (completes_)
      joint_->complete(batch_, times);
    else if (is_joint_)
      joint_->add_up(batch_, tree_, times);
    else if (joint_)
      joint_->help(tree_, times);
    if (completes_) engine_.complete_sums_ = engine_.joint_->complete_sums();
  }

 private:
  /// What is offered to all of the team, by this rank and others.
  void train_offered(int worker) {
    while (const auto piece = shared_->take(engine_.loaded_)) {
      if (shared_->is_own(*piece))
        train_shard(not_offered_ + piece->index(), worker);
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
  bool offers_ = false;     ///< some of its shards, to itself and others
  bool helps_ = false;      ///< with what is offered
  bool is_joint_ = false;   ///< not in a step in which single shards of the rank are looked at
  bool completes_ = false;  ///< joint gradients over all shards of the job; the same on all ranks
  std::optional<SharedShards::Step> shared_;
  std::optional<JointShards::Step> joint_;
  std::int64_t not_offered_ = 0;  ///< the first ones of the batch
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

}  // namespace lockstep::train
