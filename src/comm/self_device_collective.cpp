#include "comm/self_device_collective.h"

#include "base/check.h"

namespace lockstep::comm {

SelfDeviceCollective::SelfDeviceCollective(World& world, device::Accelerator& accelerator,
                                           std::int64_t slab_size, std::int64_t shards)
    : DeviceCollective(world, accelerator, slab_size, shards) {
  check(world.size() == 1, "the self collective is for one rank");
}

std::span<const DeviceSlicePartial> SelfDeviceCollective::exchange(
    device::Stream& /*stream*/, std::span<const DevicePartial> local,
    device::DeviceSpan<device::StepFindings> /*findings*/) {
  take_local(local);
  return results_;
}

void SelfDeviceCollective::all_gather(device::Stream& /*stream*/, device::DeviceSpan<float> /*weights*/) {}

void SelfDeviceCollective::all_reduce(device::Stream& /*stream*/, device::DeviceSpan<float> /*values*/) {}

void SelfDeviceCollective::share(device::Stream& /*stream*/,
                                 device::DeviceSpan<device::StepFindings> /*of_ranks*/) {}

}  // namespace lockstep::comm
