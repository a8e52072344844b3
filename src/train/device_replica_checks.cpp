// What is looked for in a replica on a device: numbers that are not finite, memory that changed.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "train/device_replica.h"
#include "train/faults.h"

namespace lockstep::train {
namespace {

std::optional<std::int64_t> first_not_finite(std::span<const float> values) {
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return std::nullopt;
  return bad - values.begin();
}

}  // namespace

std::optional<NotFinite> DeviceReplica::not_finite() {
  settle();
  const auto flags = host_flags_.span();
  const auto bad = std::ranges::find_if(flags, [](std::uint32_t flag) { return flag != 0; });
  if (bad == flags.end()) return std::nullopt;
  return locate(bad - flags.begin());
}

/// What made an own block's flag be set: the same whoever owns it.
NotFinite DeviceReplica::locate(std::int64_t block) {
  using Where = NotFinite::Where;
  const std::int64_t in_slice = block * Parameters::block;
  const std::int64_t first = owned_.begin + in_slice;
  if (gradient_copy_.span().empty()) gradient_copy_ = accelerator_.make_pinned<float>(slab_size_);
  const std::span<float> mean = gradient_copy_.span().first(Parameters::block);
  device::copy_out<float>(*stream_, mean, mean_.span().subspan(in_slice, Parameters::block));
  wait();
  fetch();
  const auto part = [](std::span<const float> values, std::int64_t from) {
    return values.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(Parameters::block));
  };
  if (const auto at = first_not_finite(mean)) return {first + *at, Where::gradient};
  if (const auto at = first_not_finite(part(host_weights_.span(), first)))
    return {first + *at, Where::weight};
  std::optional<std::int64_t> lowest;
  for (const State& state : states_)
    if (const auto at = first_not_finite(part(state.host.span(), in_slice)))
      lowest = std::min(lowest.value_or(*at), *at);
  check(lowest.has_value(), "an update flags only what is not finite");
  return {first + *lowest, Where::optimizer_state};
}

MemoryHashes DeviceReplica::look() {
  settle();
  // Those of the step are good for one look: the next is to see what happened meanwhile.
  if (!std::exchange(hashes_are_current_, false) && looks_at_memory()) {
    hashes_->queue_now(*stream_, weights_.span(), device_states());
    wait();
  }
  return memory_->look(hashes_->now());
}

void DeviceReplica::repair(std::int64_t step) {
  fetch();
  memory_->repair(world_, host_weights_.span(), step);
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
  wait();
  hashes_are_current_ = false;
}

void DeviceReplica::flip_memory() {
  if (!fault::any()) return;
  fetch();
  train::flip_memory(host_weights_.span(), owned_, state());
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
  for (const State& state : states_) device::copy_in<float>(*stream_, state.device.span(), state.host.span());
  wait();
  hashes_are_current_ = false;
}

}  // namespace lockstep::train
