#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "comm/collective.h"
#include "comm/reduction_tree.h"

namespace lockstep::comm {

/// Adds the gradients of a rank's shards into its complete subtrees while its threads still compute others,
/// in the one tree order, whoever finishes first. Keeps few slabs: a shard's slab is freed as soon as it is
/// added to its sibling.
///
/// Thread-safe. A step: reset(); each worker: take_slab(), fill it, add(shard, slab); when all have:
/// partials().
class LocalTree {
 public:
  /// `slabs` must be enough: see slabs_needed().
  LocalTree(Range shards, std::int64_t total_shards, std::vector<std::span<float>> slabs);
  /// An upper bound on slabs in use at once by `workers` that take shards in ascending order.
  static int slabs_needed(Range shards, std::int64_t total_shards, int workers);

  void reset();
  std::span<float> take_slab();
  /// Takes the slab back. Runs the additions that have become possible on the calling thread.
  void add(std::int64_t shard, std::span<float> slab);
  /// One slab per subtree, in shard order. Requires that every shard was added.
  [[nodiscard]] std::span<const Partial> partials() const { return partials_; }

 private:
  struct Node {
    Subtree tree;
    float* slab = nullptr;  // set once the subtree's sum is complete and waits for its sibling
  };
  Node& node(Subtree tree);

  Range shards_;
  std::int64_t slab_size_ = 0;
  std::vector<std::span<float>> all_slabs_;
  std::mutex mutex_;
  std::vector<float*> free_;
  std::vector<Node> nodes_;
  std::vector<Partial> partials_;
};

}  // namespace lockstep::comm
