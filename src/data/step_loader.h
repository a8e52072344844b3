#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "data/batch_maker.h"

namespace lockstep::data {

/// Gathers batches on its user's own threads: while the batch at hand is computed, whoever has nothing better
/// to do takes a piece of the next. For users that compute on all cores: a thread of the loader's own
/// (Loader) would take one away from them, at any moment. A core that they leave idle does not help, and the
/// first batch of an epoch is gathered when it is asked for. Allocates nothing after the constructor. Used
/// from one thread, but for gather_ahead().
class StepLoader {
 public:
  static constexpr int slots = 2;

  /// Keeps a reference to `dataset`. So many `threads` may gather at a time. Images are distorted if there is
  /// an augmentation.
  StepLoader(const Dataset& dataset, Sampler sampler, float scale, Range shards, int threads,
             Faults faults = Faults::none, std::optional<Augmentation> augmentation = std::nullopt);

  /// The next batch will be `first_step` of `epoch` (from 1).
  void start(std::int64_t epoch, std::int64_t first_step = 0);
  /// The next batch of the epoch, in order. Gathers what of it nobody has, and throws what goes wrong with
  /// that. Valid until the call of next() or start() that comes after. After the last step of an epoch, call
  /// start() again.
  const Batch& next();

  /// Pieces of the batch that next() gives next; 0 before start() and at the end of the epoch.
  [[nodiscard]] std::int64_t pieces_ahead() const;
  /// Gathers one of them, unless that is done; where it fails, that is left to next(). On any threads, which
  /// have numbers of their own, but no piece on two at a time, and not while next() or start() run.
  void gather_ahead(std::int64_t piece, int thread);

  /// Bytes of the slots, and of what the threads work in.
  [[nodiscard]] std::int64_t bytes() const;

 private:
  /// A slot, and which of its shards are gathered.
  struct Ahead {
    Slot slot;
    std::vector<std::uint8_t> is_gathered;
  };
  [[nodiscard]] Ahead& of_step(std::int64_t step);
  void prepare(std::int64_t step);

  BatchMaker maker_;
  Faults faults_;
  std::array<Ahead, slots> slots_;  // of a step: step modulo how many there are
  std::int64_t epoch_ = 0;
  std::int64_t next_step_ = 0;
};

}  // namespace lockstep::data
