#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "comm/collective.h"
#include "comm/host_messages.h"
#include "comm/shared_memory.h"

namespace lockstep::comm {

/// Ranks of one host share memory: owners read the others' partial sums where they are, and write their new
/// weights into the others' slabs. What crosses hosts goes by messages (HostMessages); on one host, nothing
/// does. An exchange has two meetings of the ranks of a host:
///
///     exchange    each rank says which slabs hold its partial sums, then MEETING A
///                 receives other hosts' partial sums of its slice; sends its share of what they need
///     (caller)    reads all partial sums of its slice; updates its slice of its own weights
///     hand_on     sends its slice to other hosts, and receives its share of their slices
///                 writes these slices into the weights of all other ranks of its host
///     all_gather  is hand_on, then MEETING B
///
/// Happens-before. What a rank writes before a meeting is seen by all of the host after it (release and
/// acquire, see meet()). A: gradients and slab numbers are complete before anyone reads them; everyone is
/// done reading its old weights before anyone overwrites them. Between A and B a rank writes only its own
/// slice, in all slabs, and those that it receives, and reads only its own slice of weights and those: no two
/// ranks touch one float. B: all weights are there before anyone reads them; everyone is done with the
/// partial sums before anyone overwrites them. An all_gather that does not follow an exchange meets once more
/// before it begins. Without all_gather the caller brings B about in two parts: by a counter behind hand_on,
/// at which others look before they read what was handed on, and by a meeting that follows.
///
/// Common and visible memory take meetings of their own (meet_team), behind what was written there, or
/// counters within it (TeamWork): an offer carries what a piece needs to whoever takes it, `done` what that
/// wrote to the owner. (CompleteSums go to all: they are written before the step's status, and read behind
/// A.) That nobody reads it any more when it is written again is the caller's concern. Before meeting A ranks
/// may also write into each other's slabs, through slab_of(), if the owner then knows that they are through;
/// A carries that on to all.
///
/// No rank comes to a meeting with a message that it waits for, and each helps the messages of its host on
/// while it waits there.
class SharedMemoryCollective final : public Collective {
 public:
  /// Throws AgreedError if the ranks of any host cannot share memory, which it tries with one page of each.
  SharedMemoryCollective(World& world, Hosts hosts, std::int64_t slab_size, std::int64_t shards);
  [[nodiscard]] std::string_view name() const override {
    return hosts_.count() == 1 ? "shared memory" : "shared memory and messages";
  }
  std::span<float> make_slab() override;
  std::span<const SlicePartial> exchange(std::span<const Partial> local) override;
  void all_gather(std::span<float> weights) override;
  void hand_on(std::span<float> weights) override;
  std::span<float> make_common(std::int64_t floats, std::string_view purpose) override;
  std::vector<std::span<float>> make_visible(std::int64_t floats, std::string_view purpose) override;
  [[nodiscard]] Team team() const override;
  [[nodiscard]] Range slice_at(int place) const override {
    return slice(ranks_[static_cast<std::size_t>(place)]);
  }
  void meet_team() override { meet(); }
  [[nodiscard]] std::size_t number_of(const float* slab) const override;
  [[nodiscard]] std::span<float> slab_of(int place, std::size_t number) const override;
  [[nodiscard]] std::int64_t bytes_per_step() const override;

 private:
  SharedMemory make_memory(std::int64_t bytes, std::string_view need, std::string_view advice);
  struct Control;
  Control& control(int rank) const;
  float* slab(std::size_t index, int rank) const;
  std::size_t place() const;
  void meet();
  void progress() override { messages_.progress(); }
  void write_into_others(std::size_t index, std::span<const float> weights, Range slice);

  std::span<const int> ranks_;  // of this host
  SharedMemory controls_;
  HostMessages messages_;
  std::vector<SharedMemory> slabs_;
  std::vector<SharedMemory> common_;   // each in the segment of the host's first rank
  std::vector<SharedMemory> visible_;  // a segment of each rank
  std::uint64_t meetings_ = 0;
  bool in_step_ = false;  // after exchange, before hand_on
};

}  // namespace lockstep::comm
