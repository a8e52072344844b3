#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "comm/gradient_reducer.h"
#include "comm/local_tree.h"
#include "comm/team_work.h"
#include "data/loader.h"
#include "device/backend.h"
#include "train/memory_check.h"
#include "train/profile.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// What the shards of a rank keep for the gradients that are computed for all of them at once, and how its
/// workers compute these; where ranks share memory, those of a host together, each those of all.
///
/// A step: make a Step; shards write into kept(); Step::add_up(), or complete().
class JointShards {
 public:
  /// For `shards` of at most `most_samples`. The references must outlive it.
  JointShards(const device::JointGradients& gradients, std::int64_t shards, std::int64_t most_samples,
              WorkerPool& workers);

  /// From now on the ranks of a team help each other, and what shards keep is in their common memory. During
  /// set-up. Collective, for ranks whose networks are the same; the tree's slabs must be those of
  /// `collective`, which must outlive this. `ownership`: who updates the weights.
  void share(comm::Collective& collective, Ownership ownership);

  [[nodiscard]] bool is_shared() const { return team_ != nullptr; }
  /// Whether the sums over all shards of the job can be made at once: where its ranks are one team, and each
  /// updates a slice.
  [[nodiscard]] bool can_complete() const { return !complete_.empty(); }
  /// Those of the last Step::complete(). Only if it can.
  [[nodiscard]] comm::CompleteSums complete_sums() const {
    return {.ranges = gradients_.ranges(), .slab = complete_.data()};
  }

  /// Memory of the rank's shard with this place among its own.
  [[nodiscard]] float* kept(std::size_t shard);
  /// Once memory is shared, that of a shard of the rank at this place of the team.
  [[nodiscard]] float* kept(int place, std::int64_t shard);
  /// Of what this rank keeps: of its shards, and at the first place of a team the complete sums.
  [[nodiscard]] std::int64_t bytes() const;
  /// That complete_sums() take.
  static std::int64_t complete_floats(const device::JointGradients& gradients) {
    return gradients.ranges().back().end;
  }

  /// The times of a worker, or null.
  using TimesOfWorker = std::function<WorkerTimes*(int worker)>;

  /// One of training. Once memory is shared, all ranks of a team make one in each step, and then call
  /// add_up() or help(), or all of them complete(), unless they fail. Main thread.
  class Step {
   public:
    explicit Step(JointShards& joint);
    /// Adds up the gradients of all shards of the batch: into the sums of `tree`, to which all were added.
    void add_up(const data::Batch& batch, const comm::LocalTree& tree, const TimesOfWorker& times_of);
    /// Adds up the gradients of all shards of the job, once all ranks have come here: into complete_sums().
    void complete(const data::Batch& batch, const TimesOfWorker& times_of);
    /// Has none itself, but takes others' pieces.
    void help(const comm::LocalTree& tree, const TimesOfWorker& times_of);

   private:
    enum class Begin : std::uint8_t { at_once, when_all_have_come };
    void run_sums(std::int64_t pieces, const comm::LocalTree& tree, const TimesOfWorker& times_of);
    template <class AddUp>
    void run(std::int64_t pieces, Begin begin, const TimesOfWorker& times_of, const AddUp& add_up);

    JointShards& joint_;
    std::optional<comm::TeamWork::Round> round_;
  };

 private:
  void make_room(std::size_t shards);
  [[nodiscard]] std::span<std::int64_t> notes(int place);
  [[nodiscard]] std::span<std::int64_t> own_notes() { return notes(team_ ? team_->place() : 0); }
  void note_samples(const data::Batch& batch);
  void find_shards(int place, std::int64_t first, std::span<device::KeptShard> to);
  void add_up_piece(int place, std::int64_t piece, int worker, const comm::LocalTree& tree);
  [[nodiscard]] Range pieces_of(int place) const;
  void complete_piece(std::int64_t piece, int worker);

  const device::JointGradients& gradients_;
  WorkerPool& workers_;
  std::int64_t shards_;                                   // of this rank
  std::int64_t floats_;                                   // of a shard
  std::vector<AlignedBuffer<float>> own_;                 // by shard, until memory is shared
  std::vector<std::int64_t> own_notes_;                   // likewise
  std::vector<std::vector<device::KeptShard>> of_piece_;  // by worker
  std::span<float> complete_;                             // a slab up to the last range; in common memory
  std::unique_ptr<comm::TeamWork> team_;                  // once memory is shared
  comm::Collective* collective_ = nullptr;
};

}  // namespace lockstep::train
