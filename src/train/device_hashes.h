#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"
#include "device/accelerator.h"
#include "train/memory_check.h"

namespace lockstep::train {

/// Hashes of the blocks of a replica in device memory, taken there, for a MemoryCheck: of the own part of the
/// weights and of the optimizer's state as they are written, and of all weights and the state as they are
/// now.
class DeviceHashes {
 public:
  /// For a slab of so many floats, of which the rank owns some, with so many states.
  DeviceHashes(device::Accelerator& accelerator, std::int64_t slab_size, Range owned, std::size_t states);

  /// What weights (the slab) and states (of the own part) are when the stream has come so far; views of it
  /// hold once that is done.
  void queue_written(device::Stream& stream, device::DeviceSpan<const float> weights,
                     std::span<const device::DeviceSpan<float>> states);
  void queue_now(device::Stream& stream, device::DeviceSpan<const float> weights,
                 std::span<const device::DeviceSpan<float>> states);
  [[nodiscard]] BlockHashViews written() const { return written_.views(); }
  [[nodiscard]] BlockHashViews now() const { return now_.views(); }

 private:
  struct Set {
    std::vector<device::DeviceArray<std::uint64_t>> device;  // weights, then states
    std::vector<device::PinnedArray<std::uint64_t>> host;
    [[nodiscard]] BlockHashViews views() const;
  };
  [[nodiscard]] Set make_set(device::Accelerator& accelerator, std::int64_t weights,
                             std::size_t states) const;
  void queue(device::Stream& stream, const Set& set, device::DeviceSpan<const float> weights,
             std::int64_t first_block, std::span<const device::DeviceSpan<float>> states);

  device::Accelerator& accelerator_;
  Range owned_blocks_;
  Set written_, now_;
};

}  // namespace lockstep::train
