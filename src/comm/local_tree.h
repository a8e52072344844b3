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
/// partials(). Allocates nothing after construction.
class LocalTree {
 public:
  /// `slabs`, all of one size, must be enough: see slabs_needed(). They stay the caller's. `apart`: floats of
  /// the slab, ascending, that set_apart() is about.
  LocalTree(Range shards, std::int64_t total_shards, std::vector<std::span<float>> slabs,
            std::span<const Range> apart = {});
  /// The most slabs that can be in use at once by `workers` that take shards in ascending order from one
  /// common counter, however long each shard takes: a worker calls take_slab() after it got its shard. With
  /// `together`, a power of two, a worker takes those shards of the rank at a time whose numbers divided by
  /// it are the same, and all their slabs. It is reached by the worst schedule, so no fewer are safe.
  static int slabs_needed(Range shards, std::int64_t total_shards, int workers, int together = 1);

  /// Takes all slabs back. No worker may hold one.
  void reset();
  /// After reset(): in this step the floats that are apart are added up elsewhere. add() leaves them out, and
  /// the caller writes them into each sum() before anybody reads partials(), or says that nobody should read
  /// them there (CompleteSums).
  void set_apart() { added_ = besides_; }
  /// A slab with unspecified contents.
  std::span<float> take_slab();
  /// Takes the slab back. Runs the additions that have become possible on the calling thread.
  void add(std::int64_t shard, std::span<float> slab);
  /// One slab per subtree, in shard order, valid until reset(). Requires that every shard was added.
  [[nodiscard]] std::span<const Partial> partials() const;
  /// The same slabs, to write to.
  struct Sum {
    Subtree tree;
    std::span<float> slab;
  };
  [[nodiscard]] std::size_t sum_count() const { return roots_.size(); }
  [[nodiscard]] Sum sum(std::size_t index) const;

 private:
  struct Node {
    float* slab = nullptr;  // set while the subtree's sum is complete and waits for its sibling
    bool added = false;     // of a single shard: add() was called for it
  };
  struct Root {
    Subtree tree;
    std::size_t first_node;  // its 2 · count − 1 nodes, level by level from the root
  };
  std::size_t root_of(Subtree tree) const;
  Node& node(const Root& root, Subtree tree);

  Range shards_;
  std::int64_t slab_size_ = 0;
  std::vector<std::span<float>> all_slabs_;
  std::vector<Range> whole_, besides_;  // the slab, and what of it is not apart
  std::span<const Range> added_;        // one of the two
  std::vector<Root> roots_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<float*> free_;
  std::vector<Node> nodes_;
  std::vector<Partial> partials_;
  std::vector<float*> sums_;  // the slabs of partials_
};

}  // namespace lockstep::comm
