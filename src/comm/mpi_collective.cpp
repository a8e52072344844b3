#include "comm/mpi_collective.h"

namespace lockstep::comm {

MpiCollective::MpiCollective(World& world, std::int64_t slab_size, std::int64_t shards)
    : Collective(world, Hosts::of_size(1, world.size()), slab_size, shards),
      messages_(world, hosts_, slab_size, shards, results_) {}

std::span<const SlicePartial> MpiCollective::exchange(std::span<const Partial> local) {
  take_local(local);
  messages_.exchange();
  return results_;
}

}  // namespace lockstep::comm
