#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "comm/local_tree.h"
#include "comm/team_work.h"
#include "data/loader.h"
#include "device/backend.h"
#include "train/profile.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// What the shards of a rank keep for the gradients that are computed for all of them at once, and how its
/// workers compute these; where ranks share memory, those of a host together, each those of all.
///
/// A step: make a Step; shards write into kept(); Step::add_up().
class JointShards {
 public:
  /// For `shards` of at most `most_samples`. The references must outlive it.
  JointShards(const device::JointGradients& gradients, std::int64_t shards, std::int64_t most_samples,
              WorkerPool& workers);

  /// From now on the ranks of a team help each other, and what shards keep is in their common memory. During
  /// set-up. Collective, for ranks whose networks are the same; the tree's slabs must be those of
  /// `collective`, which must outlive this.
  void share(comm::Collective& collective);

  [[nodiscard]] bool is_shared() const { return team_ != nullptr; }

  /// Memory of the rank's shard with this place among its own.
  [[nodiscard]] float* kept(std::size_t shard);
  /// Once memory is shared, that of a shard of the rank at this place of the team.
  [[nodiscard]] float* kept(int place, std::int64_t shard);
  /// Of this rank's shards.
  [[nodiscard]] std::int64_t bytes() const;

  /// The times of a worker, or null.
  using TimesOfWorker = std::function<WorkerTimes*(int worker)>;

  /// One of training. Once memory is shared, all ranks of a team make one in each step, and then call
  /// add_up() or help() unless they fail. Main thread.
  class Step {
   public:
    explicit Step(JointShards& joint) : joint_(joint) {
      if (joint_.team_) round_.emplace(*joint_.team_);
    }
    /// Adds up the gradients of all shards of the batch: into the sums of `tree`, to which all were added.
    void add_up(const data::Batch& batch, const comm::LocalTree& tree, const TimesOfWorker& times_of);
    /// Has none itself, but takes others' pieces.
    void help(const comm::LocalTree& tree, const TimesOfWorker& times_of);

   private:
    void run(std::int64_t pieces, const comm::LocalTree& tree, const TimesOfWorker& times_of);

    JointShards& joint_;
    std::optional<comm::TeamWork::Round> round_;
  };

 private:
  void make_room(std::size_t shards);
  [[nodiscard]] std::span<std::int64_t> notes(int place);
  void add_up_piece(int place, std::int64_t piece, int worker, const comm::LocalTree& tree);

  const device::JointGradients& gradients_;
  WorkerPool& workers_;
  std::int64_t shards_;                                   // of this rank
  std::int64_t floats_;                                   // of a shard
  std::vector<AlignedBuffer<float>> own_;                 // by shard, until memory is shared
  std::vector<std::int64_t> own_notes_;                   // likewise
  std::vector<std::vector<device::KeptShard>> of_piece_;  // by worker
  std::unique_ptr<comm::TeamWork> team_;                  // once memory is shared
  comm::Collective* collective_ = nullptr;
};

}  // namespace lockstep::train
