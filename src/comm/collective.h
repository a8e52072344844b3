#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/partition.h"
#include "comm/reduction_tree.h"
#include "comm/world.h"

namespace lockstep::comm {

/// A sum over a complete subtree of shards that this rank has computed: one slab.
struct Partial {
  Subtree tree;
  const float* data = nullptr;  ///< a slab made by Collective::make_slab
};

/// Partial sums of one slice of the slab, from all ranks, in shard order: together they cover all shards.
struct SlicePartial {
  Subtree tree;
  const float* data = nullptr;  ///< the slice's first float; slice.size() floats follow
};

/// The data plane: moves gradients and weights between ranks. Main thread only; every method but the
/// accessors is collective. Each rank owns one slice of the slab, a whole number of Parameters::block.
class Collective {
 public:
  virtual ~Collective() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;  ///< "self", "mpi", "shared memory"
  /// The slice of the slab (in floats) that a rank owns.
  [[nodiscard]] Range slice(int rank) const;
  [[nodiscard]] Range own_slice() const { return slice(world_.rank()); }

  /// Memory for `slab_size` floats that this collective can move without a copy where it has a way to;
  /// zeroed. Owned by the collective. Call during set-up, equally often on all ranks.
  virtual std::span<float> make_slab() = 0;

  /// Brings together all ranks' partial sums of the own slice. `local` are this rank's, in shard order:
  /// exactly subtrees() of its shards. The result is valid, and the slabs in `local` must not change, until
  /// all_gather returns.
  virtual std::span<const SlicePartial> exchange(std::span<const Partial> local) = 0;

  /// Every rank has new weights in its own slice of `weights` (a slab made by make_slab, the same one on each
  /// call); afterwards all ranks have all of them.
  virtual void all_gather(std::span<float> weights) = 0;

  /// Sum over ranks in whatever order the library likes, in place: for `reproducibility: run`.
  virtual void all_reduce(std::span<float> values) = 0;

  /// Bytes that this rank sends for one step in lockstep mode. Not collective.
  [[nodiscard]] virtual std::int64_t bytes_per_step() const = 0;

 protected:
  Collective(World& world, std::int64_t slab_size, std::int64_t shards);
  World& world_;
  std::int64_t slab_size_;
  std::int64_t shards_;
};

/// `self` for one rank, shared memory where all ranks are on one host, else MPI messages.
/// LOCKSTEP_COLLECTIVE=mpi in the environment of every rank asks for messages everywhere, for tests.
std::unique_ptr<Collective> make_collective(World& world, std::int64_t slab_size, std::int64_t shards);

/// Adds the partial sums of floats [first, first + out.size()) of the slice in tree order, and divides by
/// `samples` (one IEEE division). Threads may call it at once for different ranges. Allocates nothing.
void finish_tree(std::span<const SlicePartial> partials, std::int64_t shards, std::int64_t first,
                 float samples, std::span<float> out);

/// The shards of a rank: consecutive, piece(shards, ranks, rank).
Range shards_of_rank(std::int64_t shards, int ranks, int rank);

}  // namespace lockstep::comm
