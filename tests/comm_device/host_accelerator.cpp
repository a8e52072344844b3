#include "host_accelerator.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
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
void update_blocks(DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> weights,
                   DeviceSpan<std::uint32_t> not_finite, const Update& update) {
  if (arguments.data->skip != 0) return;
  check(weights.count == not_finite.count * Parameters::block, "each block has a flag");
  for (std::int64_t block = 0; block < not_finite.count; ++block)
    if (!update(block)) not_finite.data[block] = 1;
}

/// Adds element by element, and leaves finish(sum) in `result`, unless there are arguments that say no.
template <class Finish>
void queue_sum(device::Stream& stream, std::span<const DeviceSpan<const float>> partials,
               std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
               DeviceSpan<float> result, const Finish& finish) {
  check(!partials.empty(), "a sum is of something");
  for (const DeviceSpan<const float>& partial : partials)
    check(partial.count == result.count, "a partial sum is as long as the whole");
  const std::vector terms(partials.begin(), partials.end());
  const std::vector program(additions.begin(), additions.end());
  host(stream).run([=] {
    if (arguments.count > 0 && arguments.data->skip != 0) return;
    std::vector<float> values(terms.size());
    for (std::int64_t i = 0; i < result.count; ++i) {
      for (std::size_t term = 0; term < terms.size(); ++term) values[term] = terms[term].data[i];
      for (const TreeAddition& addition : program)
        values[static_cast<std::size_t>(addition.into)] += values[static_cast<std::size_t>(addition.from)];
      result.data[i] = finish(values[0]);
    }
  });
}

}  // namespace

HostAccelerator::HostAccelerator(HostAcceleratorOptions options)
    : facts_{.index = options.index,
             .name = "host memory",
             .unique_id = options.unique_id,
             .architecture = "0.0",
             .board = std::move(options.unique_id),
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

namespace {

/// What data::Distorter does, pixel by pixel.
template <class T>
void distort(const T* from, const Shape& image, const AffineMap& map, float scale, float* to) {
  const std::int64_t height = image[1], width = image[2];
  for (std::int64_t c = 0; c < image[0]; ++c, from += height * width)
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x) {
        const AffineTap row = affine_tap(map.row + y * map.row_per_row + x * map.row_per_column, height);
        const AffineTap column =
            affine_tap(map.column + y * map.column_per_row + x * map.column_per_column, width);
        const auto pixel = [&](std::int64_t down, std::int64_t right) {
          const bool inside = 0 <= down && down < height && 0 <= right && right < width;
          return inside ? static_cast<float>(from[down * width + right]) : 0.0F;
        };
        *to++ = map.moves_whole_pixels()
                    ? pixel(row.at, column.at) * scale
                    : affine_blend(row, column, pixel(row.at, column.at), pixel(row.at, column.at + 1),
                                   pixel(row.at + 1, column.at), pixel(row.at + 1, column.at + 1)) *
                          (scale / affine_blend_scale);
      }
}

}  // namespace

void HostAccelerator::gather(device::Stream& stream, const device::StoredSamples& stored,
                             DeviceSpan<const std::int64_t> positions, DeviceSpan<const AffineMap> maps,
                             float scale, DeviceSpan<float> images, DeviceSpan<std::int32_t> labels) {
  const std::int64_t pixels = stored.image.count();
  check(images.count == positions.count * pixels, "room for each image");
  check(labels.count == positions.count, "room for each label");
  check(maps.count == 0 || maps.count == positions.count, "a map for each image, or none");
  host(stream).run([=] {
    with_type(stored.type, [&]<class T>(T) {
      const auto* all = reinterpret_cast<const T*>(stored.images.data);
      for (std::int64_t i = 0; i < positions.count; ++i) {
        const std::int64_t row = positions.data[i];
        check(0 <= row && row < stored.labels.count, "a position is one of a stored row");
        labels.data[i] = stored.labels.data[row];
        if (maps.count > 0) {
          distort(all + row * pixels, stored.image, maps.data[i], scale, images.data + i * pixels);
          continue;
        }
        std::transform(all + row * pixels, all + (row + 1) * pixels, images.data + i * pixels,
                       [scale](T pixel) { return static_cast<float>(pixel) * scale; });
      }
    });
  });
}

void HostAccelerator::sum(device::Stream& stream, std::span<const DeviceSpan<const float>> partials,
                          std::span<const TreeAddition> additions, DeviceSpan<float> sum) {
  queue_sum(stream, partials, additions, {}, sum, [](float whole) { return whole; });
}

void HostAccelerator::mean(device::Stream& stream, std::span<const DeviceSpan<const float>> partials,
                           std::span<const TreeAddition> additions,
                           DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> mean) {
  check(arguments.count == 1, "a mean has one number of samples");
  queue_sum(stream, partials, additions, arguments, mean,
            [arguments](float whole) { return whole / arguments.data->samples; });
}

void HostAccelerator::sgd_update(device::Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                                 DeviceSpan<float> weights, DeviceSpan<const float> gradient,
                                 DeviceSpan<float> velocity, bool momentum,
                                 DeviceSpan<std::uint32_t> not_finite) {
  check(gradient.count == weights.count, "each weight has a gradient");
  check(velocity.count == (momentum ? weights.count : 0), "a velocity is there if there is momentum");
  host(stream).run([=, this] {
    update_blocks(arguments, weights, not_finite, [&](std::int64_t block) {
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
    update_blocks(arguments, weights, not_finite, [&](std::int64_t block) {
      return cpu_->adamw_update(arguments.data->adamw, block_of(weights, block), block_of(gradient, block),
                                block_of(moment1, block), block_of(moment2, block));
    });
  });
}

void HostAccelerator::take_weights(device::Stream& stream, DeviceSpan<const UpdateArguments> arguments,
                                   DeviceSpan<const float> gathered, DeviceSpan<float> weights) {
  host(stream).run([=] {
    if (arguments.data->skip == 0) std::ranges::copy(follow(gathered), weights.data);
  });
}

void HostAccelerator::find(device::Stream& stream, const device::StepEvidence& evidence,
                           DeviceSpan<device::StepFindings> findings) {
  host(stream).run([=] {
    const auto total = [](DeviceSpan<const std::uint64_t> hashes) {
      const auto values = follow(hashes);
      return std::accumulate(values.begin(), values.end(), std::uint64_t{0});
    };
    bool spoilt =
        std::ranges::any_of(follow(evidence.totals),
                            [](const device::Totals& shard) { return !std::isfinite(shard.loss); }) ||
        std::ranges::any_of(follow(evidence.not_finite), [](std::uint32_t flag) { return flag != 0; });
    for (std::size_t state = 0; state < device::StepEvidence::most_states; ++state)
      spoilt |=
          !std::ranges::equal(follow(evidence.state_recorded[state]), follow(evidence.state_now[state]));
    *findings.data = {
        .recorded = total(evidence.recorded), .copy = total(evidence.copy), .spoilt = spoilt ? 1U : 0U};
  });
}

void HostAccelerator::decide(device::Stream& stream, DeviceSpan<const device::StepFindings> of_ranks,
                             device::WeightsOwner owner, DeviceSpan<std::uint32_t> halted,
                             DeviceSpan<UpdateArguments> arguments) {
  host(stream).run([=] {
    std::uint64_t all_parts = 0;
    for (const device::StepFindings& rank : follow(of_ranks)) all_parts += rank.recorded;
    const bool good = std::ranges::all_of(follow(of_ranks), [&](const device::StepFindings& rank) {
      return rank.spoilt == 0 &&
             rank.copy == (owner == device::WeightsOwner::each_rank ? rank.recorded : all_parts);
    });
    if (!good) *halted.data = 1;
    arguments.data->skip = *halted.data;
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
