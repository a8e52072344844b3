#pragma once

#include <array>
#include <cstddef>

#include "comm/block_messages.h"
#include "comm/device_collective.h"

namespace lockstep::comm {

/// Where MPI finds what it sends, and puts what it receives. Reading the device's memory takes an MPI that
/// was built for it.
enum class MpiReads : bool { host_memory, device_memory };

/// Any ranks on any hosts and devices, two of which may be one, by MPI messages: each rank sends every owner
/// its slice of each partial sum, and everybody its new weights. MPI knows of no streams, so each method
/// first waits until the stream has done what it was given. By way of page-locked memory of the host:
///
///     exchange      device → outgoing_ → MPI → incoming_ → received_, on the device
///     all_gather    device → slab_ → MPI → slab_ → device
///     all_reduce    likewise
///
/// What is copied back to the device at the end of a call leaves its page-locked memory before the next call,
/// which begins with waiting for the stream. So all calls take the same stream.
class MpiDeviceCollective final : public DeviceCollective {
 public:
  /// Collective; throws AgreedError if any rank gets no memory.
  MpiDeviceCollective(World& world, device::Accelerator& accelerator, std::int64_t slab_size,
                      std::int64_t shards, MpiReads reads);
  [[nodiscard]] std::string_view name() const override;
  [[nodiscard]] bool only_queues() const override { return false; }
  std::span<const DeviceSlicePartial> exchange(device::Stream& stream, std::span<const DevicePartial> local,
                                               device::DeviceSpan<device::StepFindings> findings) override;
  void all_gather(device::Stream& stream, device::DeviceSpan<float> weights) override;
  void all_reduce(device::Stream& stream, device::DeviceSpan<float> values) override;
  void wait(device::Awaitable& work) override { work.synchronize(); }

 private:
  void allocate();
  [[nodiscard]] bool is_staged() const { return reads_ == MpiReads::host_memory; }
  /// What lies before and behind the own slice.
  [[nodiscard]] std::array<Range, 2> other_slices() const;
  [[nodiscard]] std::span<float> outgoing(std::size_t partial) const;
  void pass_on(std::span<const DevicePartial> local);
  void pass_on_slices(float* slab);

  MpiReads reads_;
  BlockMessages messages_;
  device::DeviceArray<float>
      received_;  ///< the own slice of the others' partial sums: what results_ point at
  device::PinnedArray<float> incoming_;  ///< likewise
  device::PinnedArray<float> outgoing_;  ///< a slab for each of the own partial sums
  device::PinnedArray<float> slab_;
};

}  // namespace lockstep::comm
