#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/partition.h"
#include "data/augmentation.h"
#include "data/dataset.h"
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

/// Whether a loader gathers images, or leaves that to a device that has the data set in its own memory.
enum class Images : bool { left, gathered };

/// Whether the faults of an experiment may stop a loader (base/fault.h): those of the training's own only.
enum class Faults : bool { none, as_armed };

/// Gathers, distorts and scales batches ahead of the training step, on one thread of its own. Allocates
/// nothing after the constructor. Used from one thread.
class Loader {
 public:
  static constexpr int default_slots = 3;

  /// Keeps references: `dataset` must outlive the loader. `slots` batches are in memory at a time. Images are
  /// distorted if there is an augmentation.
  Loader(const Dataset& dataset, Sampler sampler, float scale, Range shards, int slots = default_slots,
         Faults faults = Faults::none, Images images = Images::gathered,
         std::optional<Augmentation> augmentation = std::nullopt);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Starts to fill batches from `first_step` of `epoch` (from 1). What was prefetched before is dropped.
  void start(std::int64_t epoch, std::int64_t first_step = 0);
  /// The next batch of the epoch, in order; waits for it. Valid until the next call of next() or start().
  /// Rethrows what went wrong on the loader's thread. After the last step of an epoch, call start() again.
  const Batch& next();
  /// The batch behind the one that next() gave last, if it is ready: null at the end of the epoch, and where
  /// it would have to be waited for. Valid as that one is.
  const Batch* ahead();
  /// The same, but waits for it: null at the end of the epoch only. Rethrows as next() would.
  const Batch* await_ahead();
  /// Bytes of the slots.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::data
