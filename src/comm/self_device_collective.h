#pragma once

#include "comm/device_collective.h"

namespace lockstep::comm {

/// One rank: its partial sums and its weights are everybody's. Nothing is copied.
class SelfDeviceCollective final : public DeviceCollective {
 public:
  SelfDeviceCollective(World& world, device::Accelerator& accelerator, std::int64_t slab_size,
                       std::int64_t shards);
  [[nodiscard]] std::string_view name() const override { return "self"; }
  [[nodiscard]] bool only_queues() const override { return true; }
  std::span<const DeviceSlicePartial> exchange(device::Stream& stream, std::span<const DevicePartial> local,
                                               device::DeviceSpan<device::StepFindings> findings) override;
  void all_gather(device::Stream& stream, device::DeviceSpan<float> weights) override;
  void all_reduce(device::Stream& stream, device::DeviceSpan<float> values) override;
  void share(device::Stream& stream, device::DeviceSpan<device::StepFindings> of_ranks) override;
  void wait(device::Awaitable& work) override { work.synchronize(); }
};

}  // namespace lockstep::comm
