#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "data/batch_maker.h"

namespace lockstep::data {

/// Gathers, distorts and scales batches ahead of the step, on one thread of its own: for devices, and for
/// evaluation, which has nothing to do beside its shards. Training on the rank's own threads has StepLoader.
/// Allocates nothing after the constructor. Used from one thread.
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
