// What is looked for in a replica on a device: numbers that are not finite, memory that changed.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "train/device_replica.h"
#include "train/faults.h"
#include "train/slab_hash.h"

namespace lockstep::train {
namespace {

std::optional<std::int64_t> first_not_finite(std::span<const float> values) {
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  if (bad == values.end()) return std::nullopt;
  return bad - values.begin();
}

}  // namespace

bool DeviceReplica::looks_at_memory() const {
  return blueprint_.experiment.checks.memory != config::MemoryChecks::off;
}

/// What is evaluated and saved is the copy, which no other check sees.
void DeviceReplica::check_copy() const {
  const std::span<const std::uint64_t> hashes = hashes_->now().weights;
  const std::uint64_t sum = std::accumulate(hashes.begin(), hashes.end(), std::uint64_t{0});
  if (slab_hash(SlabKind::weights, 0, host_weights_.span()) != sum)
    fail(ExitCode::internal,
         "rank {} on {}: bits of the weights changed on their way from the device to the host: suspect the "
         "memory of either",
         world_.rank(), world_.hosts()[static_cast<std::size_t>(world_.rank())]);
}

std::span<float> DeviceReplica::gradient_copy() {
  if (gradient_copy_.span().empty()) gradient_copy_ = accelerator_.make_pinned<float>(slab_size_);
  return gradient_copy_.span();
}

/// A shard that is computed as part of something larger, by itself: before that, in whose memory.
void DeviceReplica::compute_alone(const Step& step, ShardWatch& watch) {
  const auto shard = static_cast<std::size_t>(watch.shard - shards_.begin);
  const DeviceSamples::Staged& staged = samples_->stage(*step.batch, Pieces::shards, room_of(step.number));
  const device::DeviceSpan<float> gradient = gradients_.front().span();
  samples_->await_images(*stream_);
  samples_->queue_copies(*stream_);
  shard_engine_->queue_one(*stream_, *samples_, shard, staged.counts[shard], weights_.span(), gradient,
                           report_.on_device(reported_totals_).subspan(0, 1));
  device::copy_out<float>(*stream_, gradient_copy(), gradient);
  report_.queue_copy(*stream_);
  wait();
  watch.hash = result_hash(gradient_copy(), report_.on_host(reported_totals_).front());
}

/// Between the shards and their sums: faults on purpose, and what is watched.
void DeviceReplica::inspect_gradients(ShardWatch* watch) {
  const std::span<float> copy = gradient_copy();
  stream_->wait_for(*side_);  // which writes into the report
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    const std::int64_t shard = shards_.begin + static_cast<std::int64_t>(i);
    const bool is_watched = watch != nullptr && watch->shard == shard;
    if (!is_watched && !fault::any()) continue;
    device::copy_out<float>(*stream_, copy, gradients_[i].span());
    if (is_watched) report_.queue_copy(*stream_);
    wait();
    fault::damage_gradient(shards_, shard, copy);
    if (is_watched) watch->hash = result_hash(copy, report_.on_host(reported_totals_)[i]);
    device::copy_in<float>(*stream_, gradients_[i].span(), copy);
    wait();
  }
}

bool DeviceReplica::diverged() {
  settle();
  return std::ranges::any_of(report_.on_host(flags_), [](std::uint32_t flag) { return flag != 0; });
}

std::optional<NotFinite> DeviceReplica::not_finite() {
  settle();
  const auto flags = report_.on_host(flags_);
  const auto bad = std::ranges::find_if(flags, [](std::uint32_t flag) { return flag != 0; });
  if (bad == flags.end()) return std::nullopt;
  return locate(bad - flags.begin());
}

/// What made an own block's flag be set: the same whoever owns it.
NotFinite DeviceReplica::locate(std::int64_t block) {
  using Where = NotFinite::Where;
  const std::int64_t in_slice = block * Parameters::block;
  const std::int64_t first = owned_.begin + in_slice;
  const std::span<float> mean = gradient_copy().first(Parameters::block);
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
    report_.queue_copy(*stream_);
    wait();
  }
  return memory_->look(hashes_->now());
}

/// To before the step that was computed last, and the one that was begun behind it: the devices have found
/// what the hosts did, and so have left weights and state alone.
void DeviceReplica::go_back() {
  wait();
  report_.queue_copy(*stream_);
  wait();
  world_.agree([&] {
    if (report_.on_host(halted_).front() == 0)
      fail(ExitCode::internal,
           "rank {} on {}: the device applied a step in which the hosts saw changed bits: they changed on "
           "their way between the two: suspect the memory of either",
           world_.rank(), world_.hosts()[static_cast<std::size_t>(world_.rank())]);
  });
  next_.reset();
  now_.with_update = false;
  stream_->clear(report_.on_device(halted_).data, report_.on_device(halted_).bytes());
}

void DeviceReplica::repair(std::int64_t step) {
  if (now_.with_update) go_back();
  fetch();
  memory_->repair(world_, host_weights_.span(), step);
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
  // A step behind that was begun has taken what was damaged for what was written.
  hashes_->queue_written(*stream_, weights_.span(), device_states());
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
