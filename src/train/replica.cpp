#include "train/replica.h"

#include "train/device_replica.h"
#include "train/host_replica.h"

namespace lockstep::train {

std::unique_ptr<Replica> make_replica(comm::World& world, const Blueprint& blueprint,
                                      const Resources& resources, const data::Dataset& dataset) {
  if (resources.accelerator != nullptr)
    return std::make_unique<DeviceReplica>(world, blueprint, resources, dataset);
  return std::make_unique<HostReplica>(world, blueprint, resources, dataset);
}

}  // namespace lockstep::train
