#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "comm/world.h"
#include "data/distorter.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "device/backend.h"
#include "train/shard_engine.h"

namespace lockstep::train {

/// Which shard of a step is computed more than once, and by which ranks.
struct CheckedShard {
  std::int64_t shard = 0;
  int owner = 0;    ///< has the shard
  int checker = 0;  ///< computes it again: another rank, or the owner where it is the only one
  int judge = -1;   ///< a third rank, asked when the two differ; -1 with one or two ranks
};

/// The shard of a step, counted from 1, that is checked: one with samples, drawn by the generator from seed
/// and step, and ranks likewise. A pure function, so all ranks know it; the shard does not depend on how many
/// they are. Requires ranks <= stripes.shards().
CheckedShard checked_shard(std::uint64_t seed, std::int64_t step, const data::Stripes& stripes, int ranks);

/// result_hash() of the checked shard, as a rank computed it, once or twice.
struct RankHashes {
  std::uint64_t first = 0;
  std::uint64_t again = 0;
};

/// Whether owner and checker got the same. `by_rank` is of all ranks.
bool same_result(const CheckedShard& checked, std::span<const RankHashes> by_rank);
/// After they did not, and the judge (or with two ranks both of them, again) has computed the shard too: who
/// is wrong, as a sentence that names rank and host.
std::string verdict(const CheckedShard& checked, std::span<const RankHashes> by_rank,
                    std::span<const std::string> hosts);

/// Where the images of batches are.
struct ImageSource {
  const data::Dataset* dataset = nullptr;  ///< null: the batches have them; else they come without
  float scale = 1;
  bool distorts = false;  ///< as the batches' maps say
};

/// Notices a processor that computes wrong bits: every so many steps another rank computes one shard again,
/// from the same samples, with plans and packed weights of its own. If it gets other bits, a third rank
/// decides who is wrong. With two ranks both compute it once more: who does not get the same again is wrong.
/// One rank alone computes it twice.
///
/// What slips through: errors in other shards and steps, in sums, updates and evaluation, and whatever all
/// ranks compute wrong alike.
///
/// Main thread only. Allocates nothing after the constructor, unless results differ.
class ArithmeticCheck {
 public:
  /// Checks each step whose number, from 1, `every` divides; none if it is 0, and then makes no plans. Not
  /// collective. The references must outlive it.
  ArithmeticCheck(comm::World& world, device::Backend& backend, const device::Network& network,
                  const data::Stripes& stripes, std::int64_t every, const ImageSource& source = {});

  /// Call before the shards of a step are computed, each time that they are: what to watch meanwhile, or null
  /// when the step is not checked. Valid until the next call.
  ShardWatch* begin_step(std::int64_t step);
  /// Whether the step is checked.
  [[nodiscard]] bool due() const { return checked_.has_value(); }
  /// Call after all ranks know that none of them failed, and before the update. If results differ, throws the
  /// same Error(internal) on all ranks, naming step, shard, rank and host. Collective; returns at once when
  /// the step is not checked.
  void finish_step(const data::Batch& batch, std::span<const float> weights);

  /// Bytes of plans and buffers.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  struct SizedPlan {
    std::int64_t samples;
    std::unique_ptr<device::Plan> plan;
    std::unique_ptr<device::ShardRunner> runner;
  };
  void pass_samples(const data::Batch& batch, int to);
  std::uint64_t compute(const data::Batch& batch, std::span<const float> weights);
  void share(const RankHashes& own);
  [[nodiscard]] data::ShardBatch samples(const data::Batch& batch);

  comm::World& world_;
  data::Stripes stripes_;
  std::uint64_t seed_;
  std::int64_t every_;
  ImageSource source_;
  std::size_t image_size_;
  std::vector<SizedPlan> plans_;  // for every size of shard that any rank has
  std::optional<data::Distorter> distorter_;
  AlignedBuffer<float> packed_;  // weights for all these plans, whatever ranks share in training
  AlignedBuffer<float> gradient_;
  AlignedBuffer<float> images_;  // what another rank has sent, or gathered
  AlignedBuffer<std::int32_t> labels_;
  AlignedBuffer<std::int64_t> rows_;

  std::int64_t step_ = 0;
  std::optional<CheckedShard> checked_;  // of this step
  ShardWatch watch_;
  std::vector<RankHashes> by_rank_;
};

}  // namespace lockstep::train
