#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/partition.h"
#include "data/augmentation.h"
#include "data/dataset.h"
#include "data/distorter.h"
#include "data/sampler.h"

namespace lockstep::data {

/// One shard's samples of one step, ready for a device.
struct ShardBatch {
  std::int64_t shard = 0;
  std::int64_t count = 0;                ///< samples; may be 0
  const float* images = nullptr;         ///< count × C × H × W; null with Images::left
  const std::int32_t* labels = nullptr;  ///< count
  const std::int64_t* rows = nullptr;    ///< count file rows, the samples' identities
  /// With Images::left and an augmentation, what is to be made of each image; else null.
  const AffineMap* maps = nullptr;
};

/// One step's samples of a rank.
struct Batch {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::int64_t global_samples = 0;  ///< over all ranks
  std::vector<ShardBatch> shards;   ///< the rank's, in order
};

/// Whether images are gathered, or that is left to a device that has the data set in its own memory.
enum class Images : bool { left, gathered };

/// Whether the faults of an experiment may stop a loader (base/fault.h): those of the training's own only.
enum class Faults : bool { none, as_armed };

/// Memory for one step of a rank.
class Slot {
 public:
  [[nodiscard]] const Batch& batch() const { return batch_; }
  [[nodiscard]] std::int64_t bytes() const;

 private:
  friend class BatchMaker;
  /// Where is written what a ShardBatch shows to the user.
  struct ShardMemory {
    float* images = nullptr;
    std::int32_t* labels = nullptr;
    std::int64_t* rows = nullptr;
    AffineMap* maps = nullptr;
  };

  Batch batch_;
  std::vector<ShardMemory> memory_;  // of batch_.shards
  AlignedBuffer<float> images_;
  AlignedBuffer<std::int32_t> labels_;
  AlignedBuffer<std::int64_t> rows_;
  AlignedBuffer<AffineMap> maps_;
};

/// Gathers, distorts and scales a rank's samples of a step, shard by shard. Allocates nothing after the
/// constructor but in make_slot().
class BatchMaker {
 public:
  /// Keeps a reference to `dataset`. So many `threads` may fill shards at a time. Images are distorted if
  /// there is an augmentation.
  BatchMaker(const Dataset& dataset, Sampler sampler, float scale, Range shards, Images images,
             std::optional<Augmentation> augmentation, int threads);

  [[nodiscard]] Slot make_slot() const;
  [[nodiscard]] const Stripes& stripes() const { return sampler_.stripes(); }
  [[nodiscard]] std::int64_t shards() const { return shards_.size(); }
  /// Bytes of what the threads work in.
  [[nodiscard]] std::int64_t bytes() const;

  /// What a batch says of its step; before its shards are filled.
  void begin(Slot& slot, std::int64_t epoch, std::int64_t step) const;
  /// Fills shard `index` of the rank's. Different shards of a slot on different threads if you like.
  void fill(Slot& slot, std::int64_t index, int thread);

 private:
  /// The most samples that a shard has in any step: the last is cut differently and may have more.
  [[nodiscard]] std::int64_t capacity(std::int64_t shard) const;

  const Dataset& dataset_;
  Sampler sampler_;
  float scale_;
  Range shards_;
  Images images_;
  std::optional<Augmentation> augmentation_;
  std::size_t image_size_;
  std::vector<Distorter> distorters_;  // by thread
};

}  // namespace lockstep::data
