#include "train/device_hashes.h"

#include "base/check.h"
#include "tensor/parameters.h"
#include "train/slab_hash.h"

namespace lockstep::train {

DeviceHashes::DeviceHashes(device::Accelerator& accelerator, std::int64_t slab_size, Range owned,
                           std::size_t states)
    : accelerator_(accelerator),
      owned_blocks_{owned.begin / Parameters::block, owned.end / Parameters::block},
      written_(make_set(accelerator, owned_blocks_.size(), states)),
      now_(make_set(accelerator, slab_size / Parameters::block, states)) {}

DeviceHashes::Set DeviceHashes::make_set(device::Accelerator& accelerator, std::int64_t weights,
                                         std::size_t states) const {
  Set set;
  for (std::size_t i = 0; i <= states; ++i) {
    const std::int64_t blocks = i == 0 ? weights : owned_blocks_.size();
    set.device.push_back(accelerator.make_array<std::uint64_t>(blocks));
    set.host.push_back(accelerator.make_pinned<std::uint64_t>(blocks));
  }
  return set;
}

BlockHashViews DeviceHashes::Set::views() const {
  BlockHashViews views{.weights = host.front().span(), .states = {}};
  for (std::size_t i = 1; i < host.size(); ++i) views.states.emplace_back(host[i].span());
  return views;
}

void DeviceHashes::queue_written(device::Stream& stream, device::DeviceSpan<const float> weights,
                                 std::span<const device::DeviceSpan<float>> states) {
  const std::int64_t first = owned_blocks_.begin * Parameters::block;
  queue(stream, written_, weights.subspan(first, owned_blocks_.size() * Parameters::block),
        owned_blocks_.begin, states);
}

void DeviceHashes::queue_now(device::Stream& stream, device::DeviceSpan<const float> weights,
                             std::span<const device::DeviceSpan<float>> states) {
  queue(stream, now_, weights, 0, states);
}

void DeviceHashes::queue(device::Stream& stream, const Set& set, device::DeviceSpan<const float> weights,
                         std::int64_t first_block, std::span<const device::DeviceSpan<float>> states) {
  check(set.device.size() == states.size() + 1, "each state has hashes");
  accelerator_.hash_blocks(stream, weights, block_seed(SlabKind::weights, first_block),
                           set.device.front().span());
  for (std::size_t i = 0; i < states.size(); ++i)
    accelerator_.hash_blocks(stream, states[i], block_seed(kind_of_state(i), owned_blocks_.begin),
                             set.device[i + 1].span());
  for (std::size_t i = 0; i < set.device.size(); ++i)
    device::copy_out<std::uint64_t>(stream, set.host[i].span(), set.device[i].span());
}

}  // namespace lockstep::train
