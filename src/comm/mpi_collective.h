#pragma once

#include "comm/collective.h"
#include "comm/host_messages.h"

namespace lockstep::comm {

/// Any ranks on any hosts, by MPI messages alone, as if each rank had a host to itself: it sends every owner
/// its slice of each partial sum, and everybody its new weights.
class MpiCollective final : public Collective {
 public:
  MpiCollective(World& world, std::int64_t slab_size, std::int64_t shards);
  [[nodiscard]] std::string_view name() const override { return "mpi"; }
  std::span<float> make_slab() override { return make_private_slab(); }
  std::span<const SlicePartial> exchange(std::span<const Partial> local) override;
  void all_gather(std::span<float> weights) override { messages_.all_gather(weights); }

 private:
  HostMessages messages_;
};

}  // namespace lockstep::comm
