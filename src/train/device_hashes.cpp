#include "train/device_hashes.h"

#include "base/check.h"
#include "tensor/parameters.h"
#include "train/slab_hash.h"

namespace lockstep::train {

DeviceHashes::DeviceHashes(device::Accelerator& accelerator, DeviceReport& report, std::int64_t slab_size,
                           Range owned, std::size_t states)
    : accelerator_(accelerator),
      report_(report),
      owned_blocks_{owned.begin / Parameters::block, owned.end / Parameters::block},
      written_(make_set(owned_blocks_.size(), states)),
      now_(make_set(slab_size / Parameters::block, states)) {}

DeviceHashes::Set DeviceHashes::make_set(std::int64_t weights, std::size_t states) const {
  Set set{report_.add<std::uint64_t>(weights)};
  for (std::size_t i = 0; i < states; ++i) set.push_back(report_.add<std::uint64_t>(owned_blocks_.size()));
  return set;
}

BlockHashViews DeviceHashes::views(const Set& set) const {
  BlockHashViews views{.weights = report_.on_host(set.front()), .states = {}};
  for (std::size_t i = 1; i < set.size(); ++i) views.states.emplace_back(report_.on_host(set[i]));
  return views;
}

void DeviceHashes::present(device::StepEvidence& evidence) const {
  check(written_.size() <= 1 + evidence.state_now.size(), "evidence has room for each state");
  evidence.recorded = report_.on_device(written_.front());
  evidence.copy = report_.on_device(now_.front());
  for (std::size_t i = 1; i < written_.size(); ++i) {
    evidence.state_recorded.at(i - 1) = report_.on_device(written_[i]);
    evidence.state_now.at(i - 1) = report_.on_device(now_[i]);
  }
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
  check(set.size() == states.size() + 1, "each state has hashes");
  accelerator_.hash_blocks(stream, weights, block_seed(SlabKind::weights, first_block),
                           report_.on_device(set.front()));
  for (std::size_t i = 0; i < states.size(); ++i)
    accelerator_.hash_blocks(stream, states[i], block_seed(kind_of_state(i), owned_blocks_.begin),
                             report_.on_device(set[i + 1]));
}

}  // namespace lockstep::train
