#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/partition.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "optim/optimizer.h"
#include "tensor/parameters.h"
#include "train/memory_repair.h"
#include "train/slab_hash.h"
#include "train/worker_pool.h"

namespace lockstep::train {

/// Who updates the weights: each rank a slice of them (which may be empty, or all of a small model), or, in
/// `reproducibility: run`, each rank everything by itself.
enum class Ownership : std::uint8_t { slices, everything };

/// What a rank found in its memory.
struct MemoryHashes {
  Ownership ownership = Ownership::slices;
  std::uint64_t recorded = 0;  ///< slab_hash of the own part of the weights, as its owner wrote it
  /// slab_hash of this rank's whole copy of the weights, as it is now; none if no rank looks.
  std::optional<std::uint64_t> copy;
  bool state_damaged = false;  ///< the own optimizer state is not what was written
};

/// slab_hash of each block of some weights, and of each state of an optimizer, which may be none.
struct BlockHashViews {
  std::span<const std::uint64_t> weights;
  std::vector<std::span<const std::uint64_t>> states;
};

/// Notices bits of the weights and of the optimizer's state that change between two updates, while nobody
/// writes them: failing memory, or a stray write of the program. The owner of each block takes its hash as it
/// writes it; before the next update all ranks hash what they have. (A vote among the copies would not do: an
/// owner's error is spread to all by the gathering of the weights.)
///
/// Weights can be repaired, as every rank has a copy: `checks.memory: repair`. Optimizer state exists once.
///
/// What slips through: damage between the computing of a value and its hash, nanoseconds later in the cache;
/// between the look and the update that follows; to gradients, activations, images and packed copies of
/// weights.
///
/// Main thread, except record() and look_at().
class MemoryCheck {
 public:
  /// For a rank that updates floats `owned` of the slab, whole blocks, with the optimizer's `state` of them.
  /// The references must outlive it.
  MemoryCheck(const Parameters& parameters, Ownership ownership, Range owned,
              std::vector<optim::Optimizer::State> state, WorkerPool& workers,
              config::MemoryChecks setting = config::MemoryChecks::stop);

  /// Takes the own part [first, first + weights.size()), whole blocks, and the state of it as they are now.
  /// Threads may call it at once for disjoint parts.
  void record(std::int64_t first, std::span<const float> weights);
  /// The same of blocks that a device has hashed: of the own part of the weights and of each state of it.
  void record(const BlockHashViews& own);
  /// Hashes the whole slab of weights and the own state, on all workers; with `off`, sums up what was
  /// recorded. Allocates nothing.
  MemoryHashes look(std::span<const float> weights);
  /// The same for a caller that has workers of its own at hand: between begin_look() and end_look() each of
  /// look_pieces() goes to look_at() once, on any threads, each with the number of a worker.
  void begin_look(std::span<const float> weights);
  [[nodiscard]] std::int64_t look_pieces() const;
  void look_at(std::int64_t piece, int worker);
  MemoryHashes end_look();
  /// The same of blocks that a device has hashed: of the whole slab of weights, and of the own state. With
  /// `off` they are not looked at.
  MemoryHashes look(const BlockHashViews& now) const;
  /// Sum of the hashes of the own optimizer state as recorded.
  [[nodiscard]] std::uint64_t recorded_state() const;
  [[nodiscard]] Ownership ownership() const { return ownership_; }

  /// After look() and the status said that some rank has damage, before `step`, from 1 over the whole
  /// training. With `repair`, fetches damaged blocks of weights from ranks that have them whole, and warns on
  /// rank 0, naming step, rank, host and tensor: plans must load the weights anew, and what was computed from
  /// them is computed again. Otherwise, and where optimizer state is damaged, a block is whole nowhere, or
  /// RepairLimit is reached, throws the same Error(internal) on all ranks. Collective.
  void repair(comm::World& world, std::span<float> weights, std::int64_t step);

  /// Throws the same Error(internal) on all ranks, naming the lowest rank with damage, its host and the
  /// tensor. `note`: a sentence to put behind what is wrong. Collective.
  [[noreturn]] void report(comm::World& world, std::span<const float> weights, std::int64_t step,
                           std::string_view note = {}) const;

 private:
  static constexpr std::size_t most_states = 2;  // AdamW's moments
  using StateHashes = std::array<std::uint64_t, most_states>;
  struct BlockHashes {
    std::uint64_t weights = 0;
    StateHashes state{};
  };
  /// By one worker, on cache lines of its own.
  struct alignas(64) Found {
    std::uint64_t recorded = 0, copy = 0;
    bool state_damaged = false;
  };
  [[nodiscard]] Range owned_blocks() const {
    return {owned_.begin / Parameters::block, owned_.end / Parameters::block};
  }
  [[nodiscard]] StateHashes hash_of_state(std::int64_t block) const;
  [[nodiscard]] static StateHashes state_of(const BlockHashViews& hashes, std::size_t block);
  [[nodiscard]] std::vector<std::uint64_t> written(comm::World& world) const;
  void check_state(const comm::World& world, std::int64_t step) const;
  [[noreturn]] void fail_at(const comm::World& world, std::int64_t step, std::string_view what,
                            std::int64_t block, std::string_view note) const;
  [[nodiscard]] std::string place(std::int64_t block) const;
  void warn(const comm::World& world, std::span<const Fetch> fetches, std::int64_t step) const;

  const Parameters& parameters_;
  Ownership ownership_;
  Range owned_;
  std::vector<optim::Optimizer::State> state_;
  WorkerPool& workers_;
  config::MemoryChecks setting_;
  RepairLimit limit_;
  std::vector<BlockHashes> recorded_;  // of the own blocks
  std::int64_t blocks_of_a_piece_ = 1;
  std::span<const float> looked_at_;  // by the look at hand
  std::vector<Found> by_worker_;
};

}  // namespace lockstep::train
