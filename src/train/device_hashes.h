#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"
#include "device/accelerator.h"
#include "train/device_report.h"
#include "train/memory_check.h"

namespace lockstep::train {

/// Hashes of the blocks of a replica in device memory, taken there, for a MemoryCheck: of the own part of the
/// weights and of the optimizer's state as they were written, and of all weights and the state as they are
/// now. They travel with a report.
class DeviceHashes {
 public:
  /// For a slab of so many floats, of which the rank owns some, with so many states. `report` must outlive
  /// it, and has no memory yet.
  DeviceHashes(device::Accelerator& accelerator, DeviceReport& report, std::int64_t slab_size, Range owned,
               std::size_t states);

  /// What weights (the slab) and states (of the own part) are when the stream has come so far; views of it
  /// hold once a later copy of the report is done.
  void queue_written(device::Stream& stream, device::DeviceSpan<const float> weights,
                     std::span<const device::DeviceSpan<float>> states);
  void queue_now(device::Stream& stream, device::DeviceSpan<const float> weights,
                 std::span<const device::DeviceSpan<float>> states);
  /// What has been queued, for a look by the device itself.
  void present(device::StepEvidence& evidence) const;
  [[nodiscard]] BlockHashViews written() const { return views(written_); }
  [[nodiscard]] BlockHashViews now() const { return views(now_); }

 private:
  using Set = std::vector<DeviceReport::Part<std::uint64_t>>;  ///< of the weights, then of the states
  [[nodiscard]] Set make_set(std::int64_t weights, std::size_t states) const;
  [[nodiscard]] BlockHashViews views(const Set& set) const;
  void queue(device::Stream& stream, const Set& set, device::DeviceSpan<const float> weights,
             std::int64_t first_block, std::span<const device::DeviceSpan<float>> states);

  device::Accelerator& accelerator_;
  DeviceReport& report_;
  Range owned_blocks_;
  Set written_, now_;
};

}  // namespace lockstep::train
