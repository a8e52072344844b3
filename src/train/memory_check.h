#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/partition.h"
#include "comm/world.h"
#include "optim/optimizer.h"
#include "tensor/parameters.h"
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
  std::uint64_t copy = 0;      ///< slab_hash of this rank's whole copy of the weights, as it is now
  bool state_damaged = false;  ///< the own optimizer state is not what was written
};

/// Notices bits of the weights and of the optimizer's state that change between two updates, while nobody
/// writes them: failing memory, or a stray write of the program. The owner of each block takes its hash as it
/// writes it; before the next update all ranks hash what they have. (A vote among the copies would not do: an
/// owner's error is spread to all by the gathering of the weights.)
///
/// What slips through: damage between the computing of a value and its hash, nanoseconds later in the cache;
/// damage to gradients, activations, images and packed copies of weights.
///
/// Main thread, except record().
class MemoryCheck {
 public:
  /// For a rank that updates floats `owned` of the slab, whole blocks, with the optimizer's `state` of them.
  /// The references must outlive it.
  MemoryCheck(const Parameters& parameters, Ownership ownership, Range owned,
              std::vector<optim::Optimizer::State> state, WorkerPool& workers);

  /// Takes the own part [first, first + weights.size()), whole blocks, and the state of it as they are now.
  /// Threads may call it at once for disjoint parts.
  void record(std::int64_t first, std::span<const float> weights);
  /// Hashes the whole slab of weights and the own state, on all workers. Allocates nothing.
  MemoryHashes look(std::span<const float> weights);
  /// Sum of the hashes of the own optimizer state as recorded.
  [[nodiscard]] std::uint64_t recorded_state() const;
  [[nodiscard]] Ownership ownership() const { return ownership_; }

  /// Throws the same Error(internal) on all ranks, naming the lowest rank with damage, its host and the
  /// tensor, after look() and the status said that some rank has some. `step` counts from 1 over the whole
  /// training. Collective.
  [[noreturn]] void report(comm::World& world, std::span<const float> weights, std::int64_t step) const;

 private:
  static constexpr std::size_t most_states = 2;  // AdamW's moments
  struct BlockHashes {
    std::uint64_t weights = 0;
    std::array<std::uint64_t, most_states> state{};
  };
  [[nodiscard]] BlockHashes hash_block(std::int64_t block, std::span<const float> weights) const;
  [[nodiscard]] std::string place(std::int64_t block) const;

  const Parameters& parameters_;
  Ownership ownership_;
  Range owned_;
  std::vector<optim::Optimizer::State> state_;
  WorkerPool& workers_;
  std::vector<BlockHashes> recorded_;  // of the own blocks
  std::vector<MemoryHashes> by_worker_;
};

}  // namespace lockstep::train
