#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/partition.h"
#include "comm/collective.h"
#include "comm/local_tree.h"
#include "comm/team_work.h"
#include "data/batch_maker.h"
#include "data/stripes.h"
#include "device/backend.h"
#include "train/pieces.h"

namespace lockstep::train {

/// Slabs that the tree of a rank's shards needs where its team takes some of them: see
/// LocalTree::slabs_needed().
int slabs_with_shared(Range shards, std::int64_t total_shards, int workers, const Grouping& grouping,
                      int team);

/// Shards of training that whoever of a team is free computes. A core that is slower than another by a third
/// or more then does not hold it up for long; smaller differences are what JointShards makes up for.
///
/// What it takes to compute such a shard lies where all of the team see it: its samples are copied there, and
/// its gradient goes into a slab of the rank whose shard it is. The bits are the same from any rank.
class SharedShards {
 public:
  /// `own` are those that this rank shares, `first` is the first of all its shards. During set-up, collective
  /// over all ranks; throws AgreedError if there is no memory. `collective` must outlive it.
  SharedShards(comm::Collective& collective, const data::Stripes& stripes, Range own, std::int64_t first,
               std::int64_t sample_floats, int workers);
  /// What a rank takes for it.
  static std::int64_t bytes(const data::Stripes& stripes, Range own, std::int64_t sample_floats);
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

  [[nodiscard]] Range own() const { return own_; }

  /// One that has been offered.
  struct Shard {
    device::ShardInput input;
    std::int64_t samples = 0;
    int place = 0;           ///< of its rank in the team
    std::int64_t index = 0;  ///< among all shards of that rank
    std::span<float> gradient;
  };
  /// One of this rank that another has computed.
  struct Result {
    std::int64_t shard = 0;
    device::Totals totals;
    std::span<float> gradient;
  };

  /// One of training: all ranks of a team make one in each step. A rank that does not come to offer() in it,
  /// or fails, leaves nobody waiting; between one and the next all must have waited for each other.
  ///
  /// offer(); when a worker has none of the rank's other shards left, take() until there is none; finish().
  class Step {
   public:
    explicit Step(SharedShards& shards) : shards_(shards), round_(shards.team_) { shards.slabs_.clear(); }

    /// The shared ones of this batch, which are copied. A slab of the tree is taken for each. Main thread.
    void offer(const data::Batch& batch, comm::LocalTree& tree);
    /// The slab for a shard of this rank that was offered; empty if it was not. Any thread.
    [[nodiscard]] std::span<float> slab_of(std::int64_t shard) const;

    /// A shard to compute: of this rank (whose batch has the samples, too) while there are any; else of
    /// another one that has made its offer, if the numbers of samples of all its shared shards are among
    /// `sizes`. Never waits: who comes late to offer() has no help in that step. Any thread.
    [[nodiscard]] std::optional<comm::TeamWork::Piece> take(std::span<const std::int64_t> sizes);
    [[nodiscard]] bool is_own(const comm::TeamWork::Piece& piece) const;
    /// Of another rank: what it takes, to be called before it is computed; then what came of it. Any thread.
    [[nodiscard]] Shard begin(const comm::TeamWork::Piece& piece, int worker);
    void end(const comm::TeamWork::Piece& piece, const device::Totals& totals);

    /// Returns when all that was offered has been computed: what others did of it. Valid until the next step.
    /// Main thread.
    [[nodiscard]] std::span<const Result> finish();

   private:
    SharedShards& shards_;
    comm::TeamWork::Round round_;
  };

 private:
  [[nodiscard]] bool all_suit(int place, std::span<const std::int64_t> sizes) const;

  comm::Collective& collective_;
  Range own_;
  std::int64_t first_;
  std::int64_t most_samples_;  // of any shard of the job
  std::int64_t sample_floats_;
  std::int64_t bytes_;
  comm::TeamWork team_;
  std::vector<std::span<float>> slabs_;  // of own_, while they are offered
  std::vector<Result> results_;
  std::vector<std::vector<std::int32_t>> labels_;  // by worker: of the shard of another rank that it computes
};

}  // namespace lockstep::train
