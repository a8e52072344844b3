#include "host_accelerator.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/hash.h"
#include "tensor/parameters.h"

namespace lockstep::testing {
namespace {

using device::DeviceSpan;
using device::TreeAddition;
using device::UpdateArguments;

HostStream& host(device::Stream& stream) {
  return dynamic_cast<HostStream&>(stream);
}

/// Here alone the host may follow addresses of the 'device'.
template <class T>
std::span<T> follow(DeviceSpan<T> span) {
  return {span.data, static_cast<std::size_t>(span.count)};
}

/// A block of a slab; empty if the slab is.
template <class T>
std::span<T> block_of(DeviceSpan<T> slab, std::int64_t block) {
  if (slab.count == 0) return {};
  return follow(slab.subspan(block * Parameters::block, Parameters::block));
}

/// Calls update(block), and raises the block's flag if that finds something that is not finite.
template <class Update>
void update_blocks(DeviceSpan<float> weights, DeviceSpan<std::uint32_t> not_finite, const Update& update) {
  check(weights.count == not_finite.count * Parameters::block, "each block has a flag");
  for (std::int64_t block = 0; block < not_finite.count; ++block)
    if (!update(block)) not_finite.data[block] = 1;
}

}  // namespace

HostAccelerator::HostAccelerator(HostAcceleratorOptions options)
    : facts_{.index = options.index,
             .name = "host memory",
             .unique_id = std::move(options.unique_id),
             .architecture = "0.0",
             .memory_bytes = options.memory_bytes,
             .free_bytes = options.memory_bytes},
      heap_(std::make_shared<HostHeap>(options.memory_bytes)),
      cpu_(device::make_cpu_backend()) {}

HostAccelerator::~HostAccelerator() = default;

std::unique_ptr<device::Memory> HostAccelerator::allocate(std::int64_t bytes) {
  return heap_->allocate(HostHeap::Kind::device, bytes);
}

std::unique_ptr<device::Memory> HostAccelerator::allocate_pinned(std::int64_t bytes) {
  return heap_->allocate(HostHeap::Kind::pinned, bytes);
}

std::unique_ptr<device::Stream> HostAccelerator::make_stream() {
  return std::make_unique<HostStream>(heap_);
}

std::unique_ptr<device::DevicePlan> HostAccelerator::plan(const device::Network& network,
                                                          std::int64_t samples, device::Mode mode,
                                                          const std::string& choices) {
  return make_host_plan(*cpu_, network, samples, mode, choices);
}

void HostAccelerator::gather(device::Stream& stream, const device::StoredSamples& stored,
                             DeviceSpan<const std::int64_t> positions, float scale, DeviceSpan<float> images,
                             DeviceSpan<std::int32_t> labels) {
  const std::int64_t pixels = stored.image.count();
  check(images.count == positions.count * pixels, "room for each image");
  check(labels.count == positions.count, "room for each label");
  host(stream).run([=] {
    with_type(stored.type, [&]<class T>(T) {
      const auto* all = reinterpret_cast<const T*>(stored.images.data);
      for (std::int64_t i = 0; i < positions.count; ++i) {
        const std::int64_t row = positions.data[i];
        check(0 <= row && row < stored.labels.count, "a position is one of a stored row");
        labels.data[i] = stored.labels.data[row];
        std::transform(all + row * pixels, all + (row + 1) * pixels, images.data + i * pixels,
                       [scale](T pixel) { return static_cast<float>(pixel) * scale; });
      }
    });
  });
}

void HostAccelerator::add(device::Stream& stream, DeviceSpan<const float> a, DeviceSpan<const float> b,
                          DeviceSpan<float> sum) {
  check(a.count == sum.count && b.count == sum.count, "a sum is as long as its terms");
  host(stream).run([=] {
    for (std::int64_t i = 0; i < sum.count; ++i) sum.data[i] = a.data[i] + b.data[i];
  });
}

void HostAccelerator::mean(device::Stream& stream, std::span<const DeviceSpan<const float>> partials,
                           std::span<const TreeAddition> additions,
                           DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> mean) {
  check(!partials.empty() && arguments.count == 1, "a mean is of something");
  for (const DeviceSpan<const float>& partial : partials)
    check(partial.count == mean.count, "a partial sum is as long as the mean");
  const std::vector terms(partials.begin(), partials.end());
  const std::vector program(additions.begin(), additions.end());
  host(stream).run([=] {
    std::vector<float> values(terms.size());
    for (std::int64_t i = 0; i < mean.count; ++i) {
      for (std::size_t term = 0; term < terms.size(); ++term) values[term] = terms[term].data[i];
      for (const TreeAddition& addition : program)
        values[static_cast<std::size_t>(addition.into)] += values[static_cast<std::size_t>(addition.from)];
      mean.data[i] = values[0] / arguments.data->samples;
    }
  });
}

void HostAccelerator::sgd_update(device::Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                                 DeviceSpan<float> weights, DeviceSpan<const float> gradient,
                                 DeviceSpan<float> velocity, bool momentum,
                                 DeviceSpan<std::uint32_t> not_finite) {
  check(gradient.count == weights.count, "each weight has a gradient");
  check(velocity.count == (momentum ? weights.count : 0), "a velocity is there if there is momentum");
  host(stream).run([=, this] {
    update_blocks(weights, not_finite, [&](std::int64_t block) {
      return cpu_->sgd_update(arguments.data->sgd, block_of(weights, block), block_of(gradient, block),
                              block_of(velocity, block));
    });
  });
}

void HostAccelerator::adamw_update(device::Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                                   DeviceSpan<float> weights, DeviceSpan<const float> gradient,
                                   DeviceSpan<float> moment1, DeviceSpan<float> moment2,
                                   DeviceSpan<std::uint32_t> not_finite) {
  check(gradient.count == weights.count && moment1.count == weights.count && moment2.count == weights.count,
        "each weight has a gradient and two moments");
  host(stream).run([=, this] {
    update_blocks(weights, not_finite, [&](std::int64_t block) {
      return cpu_->adamw_update(arguments.data->adamw, block_of(weights, block), block_of(gradient, block),
                                block_of(moment1, block), block_of(moment2, block));
    });
  });
}

void HostAccelerator::hash_blocks(device::Stream& stream, DeviceSpan<const float> values,
                                  std::uint64_t first_seed, DeviceSpan<std::uint64_t> hashes) {
  check(values.count == hashes.count * Parameters::block, "each block has a hash");
  host(stream).run([=] {
    for (std::int64_t block = 0; block < hashes.count; ++block)
      hashes.data[block] =
          io::hash64(std::as_bytes(block_of(values, block)), first_seed + static_cast<std::uint64_t>(block));
  });
}

}  // namespace lockstep::testing
