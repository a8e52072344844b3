#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "comm/collective.h"
#include "comm/shared_memory.h"

namespace lockstep::comm {

/// All ranks on one host. Slabs lie in shared memory: owners read the others' partial sums where they are,
/// and write their new weights into the others' slabs. A step has two meetings of all ranks:
///
///     exchange    each rank says which slabs hold its partial sums, then MEETING A
///     (caller)    reads all partial sums of its slice; updates its slice of its own weights
///     all_gather  each rank writes its slice into all other ranks' weights, then MEETING B
///
/// Happens-before. What a rank writes before a meeting is seen by all after it (release and acquire, see
/// meet()). A: gradients and slab numbers are complete before anyone reads them; everyone is done reading
/// its old weights before anyone overwrites them. Between A and B a rank writes only its own slice, in
/// all slabs, and reads only its own slice of weights: no two ranks touch one float. B: all weights are there
/// before anyone reads them; everyone is done with the partial sums before anyone overwrites them.
/// An all_gather that does not follow an exchange meets once more before it begins.
class SharedMemoryCollective final : public Collective {
 public:
  /// Throws AgreedError if the ranks cannot share memory, which it tries with one page of each.
  SharedMemoryCollective(World& world, std::int64_t slab_size, std::int64_t shards);
  [[nodiscard]] std::string_view name() const override { return "shared memory"; }
  std::span<float> make_slab() override;
  std::span<const SlicePartial> exchange(std::span<const Partial> local) override;
  void all_gather(std::span<float> weights) override;

 private:
  struct Control;
  Control& control(int rank) const;
  float* slab(std::size_t index, int rank) const;
  std::size_t index_of(const float* own_slab) const;
  void meet();

  SharedMemory controls_;
  std::vector<SharedMemory> slabs_;
  std::uint64_t meetings_ = 0;
  bool in_step_ = false;  // after exchange, before all_gather
};

}  // namespace lockstep::comm
