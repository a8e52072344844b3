#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "comm/block_messages.h"
#include "comm/collective.h"
#include "comm/hosts.h"

namespace lockstep::comm {

/// What crosses hosts in a step, by MPI messages; where all ranks are on one host, nothing does, and MPI is
/// not called. Ranks of one host see each other's slabs, so everything goes to a host once:
///
///     exchange    Consecutive ranks of one host add up their partial sums, as far as their shards together
///                 make up larger subtrees; one of these ranks sends an owner the sums of its slice.
///     all_gather  An owner sends its new weights to one rank of each other host.
///
/// Which rank that is depends on the owner, so that ranks share the work. Main thread only.
class HostMessages {
 public:
  /// `results` are those of a Collective for these hosts and stay where they are. The entries of other hosts
  /// are pointed at memory of this object, once and for all. Collective; throws AgreedError if any rank gets
  /// no memory.
  HostMessages(World& world, const Hosts& hosts, std::int64_t slab_size, std::int64_t shards,
               std::span<SlicePartial> results);

  /// Fills in the partial sums of other hosts. Requires that the entries of the own host point into its
  /// ranks' slabs, all of which may be read until this returns.
  void exchange();
  /// Sends the own slice of `weights`, and fills in received_slices().
  void all_gather(std::span<float> weights);
  /// The slices that all_gather brings to this rank, for all ranks of its host.
  [[nodiscard]] std::span<const Range> received_slices() const { return received_slices_; }

  /// To be called by a rank that waits for others outside MPI: messages under way get on only within MPI,
  /// also what a collective operation, which is over for this rank, still has to bring to others.
  void progress() const;

  /// Bytes that this rank sends in a step.
  [[nodiscard]] std::int64_t bytes_per_step() const;

 private:
  struct Incoming {  ///< the own slice of one partial sum
    int from;
    float* data;
  };
  struct Outgoing {  ///< the slice of the owner `to` of one partial sum
    int to;
    Subtree tree;
    float* sum;  ///< where it is added up; null if it lies ready in one rank's slab
  };

  void plan_incoming(const Hosts& hosts, std::int64_t shards);
  void plan_outgoing(const Hosts& hosts, std::int64_t shards);
  void plan_all_gather(const Hosts& hosts);
  [[nodiscard]] Range slice(int rank) const { return slice_of_rank(slab_size_, world_.size(), rank); }
  const float* ready_to_send(const Outgoing& outgoing) const;

  World& world_;
  std::int64_t slab_size_;
  std::span<SlicePartial> results_;
  BlockMessages messages_;
  std::vector<Incoming> incoming_;
  std::vector<Outgoing> outgoing_;
  AlignedBuffer<float> received_;  // what incoming_ points at
  AlignedBuffer<float> sums_;      // what outgoing_ points at
  std::vector<int> weights_from_;
  std::vector<Range> received_slices_;  // of weights_from_
  std::vector<int> weights_to_;
};

}  // namespace lockstep::comm
