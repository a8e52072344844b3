#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/partition.h"
#include "comm/hosts.h"
#include "comm/reduction_tree.h"
#include "comm/world.h"

namespace lockstep::comm {

/// The shards of a rank: consecutive, piece(shards, ranks, rank).
Range shards_of_rank(std::int64_t shards, int ranks, int rank);
/// Those of a run of consecutive ranks, which is not empty.
Range shards_of_run(std::int64_t shards, int ranks, Range run);
/// The slice of a slab (in floats) that a rank owns: whole blocks of Parameters::block, cut by piece(). Empty
/// for some ranks if there are fewer blocks than ranks. Requires whole blocks.
Range slice_of_rank(std::int64_t slab_size, int ranks, int rank);
/// Bytes that a rank sends for one step in lockstep mode where each deals with each: its partial sums of the
/// others' slices, and its slice of the new weights, once to each other rank.
std::int64_t bytes_per_step(std::int64_t slab_size, std::int64_t shards, int ranks, int rank);

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

/// Those of `partials`, which are in shard order, that belong to these shards.
std::span<SlicePartial> within(std::span<SlicePartial> partials, Range shards);

/// The data plane: moves gradients and weights between ranks. Main thread only, unless it is said otherwise;
/// every method but the accessors is collective. Each rank owns one slice of the slab, a whole number of
/// Parameters::block.
///
/// A step: exchange(), finish_tree() and the update of the own slice of the weights, all_gather(), or in its
/// place hand_on() and later meet_team(). From exchange() until all_gather() returns, a rank touches of its
/// weights the own slice only; behind hand_on() that and what it knows to be there. Nothing is allocated in a
/// step.
class Collective {
 public:
  virtual ~Collective() = default;
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;

  [[nodiscard]] virtual std::string_view name()
      const = 0;  ///< "self", "mpi", "shared memory", "shared memory and messages"
  /// The slice of the slab (in floats) that a rank owns.
  [[nodiscard]] Range slice(int rank) const;
  [[nodiscard]] Range own_slice() const { return slice(world_.rank()); }

  /// Memory for `slab_size` floats that this collective can move without a copy where it has a way to;
  /// zeroed, on a cache line. Owned by the collective. Call during set-up, equally often on all ranks. Throws
  /// AgreedError if any rank gets none: it says how much was wanted, by how many ranks, and what to do. The
  /// slabs made before stay as they are.
  virtual std::span<float> make_slab() = 0;

  /// Brings together all ranks' partial sums of the own slice. `local` are this rank's, in shard order:
  /// exactly subtrees() of its shards. The result is valid, and the slabs in `local` must not change, until
  /// all_gather returns, or meet_team() behind hand_on(); or, where a step is given up without it, until all
  /// ranks have met in another way (World::sum of a status), which must come before the next exchange.
  virtual std::span<const SlicePartial> exchange(std::span<const Partial> local) = 0;

  /// Every rank has new weights in its own slice of `weights` (a slab made by make_slab, the same one on each
  /// call); afterwards all ranks have all of them.
  virtual void all_gather(std::span<float> weights) = 0;
  /// The same without waiting for the ranks of the team, after exchange() only. What one of them has handed
  /// on is there for whoever has seen an offer of TeamWork that it made behind it (Round::take), and for all
  /// after meet_team(), which must come before the next exchange.
  virtual void hand_on(std::span<float> weights) { all_gather(weights); }

  /// Sum over ranks in whatever order the library likes, in place: for `reproducibility: run`.
  virtual void all_reduce(std::span<float> values);

  /// Memory that this rank has in common with the others of its team: those of its host where ranks share
  /// memory, else itself alone. Zeroed, on a cache line, owned by the collective. Call during set-up, on all
  /// ranks with the same `floats`, more than 0. Throws AgreedError, which names the purpose
  /// ("packed weights"), as make_slab does.
  virtual std::span<float> make_common(std::int64_t floats, std::string_view purpose);
  /// Memory of each rank of the team that all of it can read and write, by place; each says how much it wants
  /// for itself, more than 0. Zeroed, on a cache line, owned by the collective; on a host of several sockets
  /// near the rank that wants it. Otherwise as make_common.
  virtual std::vector<std::span<float>> make_visible(std::int64_t floats, std::string_view purpose);
  struct Team {
    int size = 1;
    int place = 0;  ///< of this rank in it
  };
  [[nodiscard]] virtual Team team() const { return {}; }
  /// Whether its team is all ranks of the job.
  [[nodiscard]] bool is_one_team() const { return team().size == world_.size(); }
  /// The slice that the rank at this place of the team owns.
  [[nodiscard]] virtual Range slice_at(int /*place*/) const { return own_slice(); }
  /// Returns when all ranks of the team have called it as often as this one. What any of them wrote into
  /// common memory before is seen by all then. Not between exchange() and all_gather() or hand_on().
  virtual void meet_team() {}
  /// The number of a slab among those of this rank, by which the others of its team find it; and the slab
  /// with a number of the rank at this place of the team. Not collective, any thread. For teams of several
  /// only.
  [[nodiscard]] virtual std::size_t number_of(const float* slab) const;
  [[nodiscard]] virtual std::span<float> slab_of(int place, std::size_t number) const;

  /// How any thread waits for what another rank of the team writes into common memory: a moment for itself,
  /// then it offers its core to others, and the main thread lets messages get on.
  class Patience {
   public:
    Patience(Collective& collective, bool is_main) : collective_(collective), is_main_(is_main) {}
    /// Between two looks.
    void wait();

   private:
    Collective& collective_;
    bool is_main_;
    int looks_ = 0;
  };

  /// What this rank is at.
  [[nodiscard]] Activity& activity() { return world_.activity(); }

  /// Bytes that this rank sends for one step in lockstep mode, by whatever way. Not collective.
  [[nodiscard]] virtual std::int64_t bytes_per_step() const;

 protected:
  /// Requires whole blocks, and at least one shard for each rank.
  Collective(World& world, Hosts hosts, std::int64_t slab_size, std::int64_t shards);

  /// Lets messages get on, while this rank waits for its team.
  virtual void progress() {}

  /// The entries of results_ for a rank of this rank's host.
  [[nodiscard]] std::span<SlicePartial> results_of(int rank);
  /// Fills in this rank's own partial sums, where they lie, and checks that they are the right ones.
  void take_local(std::span<const Partial> local);
  /// A slab that only this rank sees. Collective, as make_slab.
  std::span<float> make_private_slab() { return make_private(slab_size_, "a slab"); }

  World& world_;
  Hosts hosts_;
  std::int64_t slab_size_;
  std::int64_t shards_;
  /// What exchange returns, in shard order: the subtrees of each rank of the own host, and those of each run
  /// of ranks of another host.
  std::vector<SlicePartial> results_;

 private:
  std::span<float> make_private(std::int64_t floats, std::string_view purpose);

  std::vector<AlignedBuffer<float>> private_memory_;
};

/// Memory that only this rank sees, uninitialised; lengths may differ among ranks. Collective: throws
/// AgreedError, naming the purpose, if any rank gets none.
[[nodiscard]] AlignedBuffer<float> make_buffer(World& world, std::int64_t floats, std::string_view purpose);

/// `self` for one rank; else shared memory among the ranks of each host, and messages between hosts; messages
/// alone where each rank is on a host of its own. Collective: all ranks agree on the kind.
///
/// Where ranks of one host name turn out not to be able to share even one page (memfd or /proc are not
/// permitted, or they are in containers of their own), rank 0 warns with the reason and all ranks use
/// messages. Nothing else changes the kind: that memory runs out is an AgreedError of make_slab, make_common
/// or make_visible.
/// LOCKSTEP_COLLECTIVE in the environment of every rank asks for another kind: `mpi` for messages everywhere;
/// `hosts:N`, for tests, takes each N consecutive ranks for the ranks of one host.
std::unique_ptr<Collective> make_collective(World& world, std::int64_t slab_size, std::int64_t shards);

/// Adds floats [first, first + out.size()) of the partial sums that make up `tree`, in tree order. `out` must
/// not overlap a partial sum. Allocates nothing.
void add_up(std::span<const SlicePartial> partials, Subtree tree, std::int64_t first, std::span<float> out);

/// Adds the partial sums of floats [first, first + out.size()) of the slice in tree order, and divides by
/// `samples` (one IEEE division). `out` must not overlap a partial sum. Threads may call it at once for
/// different ranges. Allocates nothing.
void finish_tree(std::span<const SlicePartial> partials, std::int64_t shards, std::int64_t first,
                 float samples, std::span<float> out);

}  // namespace lockstep::comm
