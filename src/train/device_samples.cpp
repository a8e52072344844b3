#include "train/device_samples.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::train {
namespace {

/// Where the samples of each shard begin, with room for the most that it has in any step; and the end.
std::vector<std::int64_t> first_samples(const data::Stripes& stripes, Range shards) {
  std::vector<std::int64_t> first{0};
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
    const Range one{shard, shard + 1};
    first.push_back(first.back() +
                    std::max(stripes.rows(0, one).size(), stripes.rows(stripes.steps() - 1, one).size()));
  }
  return first;
}

/// Where the images of each shard begin, as aligned as memory of their own would be: libraries choose
/// kernels, and so bits, by alignment.
std::vector<std::int64_t> first_images(std::span<const std::int64_t> first_samples, std::int64_t image_size) {
  constexpr std::int64_t alignment = device::Memory::alignment / sizeof(float);
  std::vector<std::int64_t> first{0};
  for (std::size_t i = 1; i < first_samples.size(); ++i) {
    const std::int64_t floats = (first_samples[i] - first_samples[i - 1]) * image_size;
    first.push_back(first.back() + (floats + alignment - 1) / alignment * alignment);
  }
  return first;
}

}  // namespace

DeviceSamples::DeviceSamples(device::Accelerator& accelerator, device::Stream& stream,
                             const data::Dataset& dataset, const data::Stripes& stripes, Range shards,
                             float scale, config::DataPlace place)
    : accelerator_(accelerator),
      dataset_(dataset),
      scale_(scale),
      image_size_(dataset.info().image.count()),
      first_(first_samples(stripes, shards)),
      first_image_(first_images(first_, image_size_)),
      on_device_(belongs_on_device(place)),
      epoch_(make_twin<std::int64_t>(1)),
      rows_(make_twin<std::int64_t>(first_.back())) {
  const std::int64_t samples = first_.back();
  images_ = accelerator.make_array<float>(first_image_.back());
  labels_ = accelerator.make_array<std::int32_t>(samples);
  // A step with fewer samples copies what is left of another one along: nobody reads it, but it is something.
  std::ranges::fill(rows_.host.span(), 0);
  if (on_device_) {
    places_ = make_twin<std::int64_t>(samples);
    std::ranges::fill(places_.host.span(), 0);
    store(stream);
  } else {
    host_images_ = accelerator.make_pinned<float>(first_image_.back());
    host_labels_ = accelerator.make_pinned<std::int32_t>(samples);
    std::ranges::fill(host_images_.span(), 0.0F);
    std::ranges::fill(host_labels_.span(), 0);
  }
}

bool DeviceSamples::belongs_on_device(config::DataPlace place) const {
  if (place == config::DataPlace::host) return false;
  if (place == config::DataPlace::device) {
    check(!dataset_.stored_images().empty(), "a data set that is to go to a device lies in memory");
    return true;
  }
  if (dataset_.stored_images().empty()) return false;
  const auto bytes = static_cast<std::int64_t>(dataset_.stored_images().size());
  return bytes <= accelerator_.facts().free_bytes / 2;
}

/// Through a small page-locked buffer: the stripes may be large.
void DeviceSamples::store(device::Stream& stream) {
  constexpr std::int64_t piece_bytes = std::int64_t{16} << 20U;
  const auto transfer = [&](std::span<const std::byte> from, device::DeviceSpan<std::byte> to) {
    const auto buffer = accelerator_.make_pinned<std::byte>(std::min(to.count, piece_bytes));
    for (std::int64_t first = 0; first < to.count; first += piece_bytes) {
      const std::int64_t size = std::min(to.count - first, piece_bytes);
      std::copy_n(from.begin() + first, size, buffer.span().begin());
      stream.copy_in(to.data + first, buffer.span().data(), size);
      stream.synchronize();
    }
  };
  const std::span<const std::byte> images = dataset_.stored_images();
  const std::span<const std::int32_t> labels = dataset_.stored_labels();
  stored_images_ = accelerator_.make_array<std::byte>(std::ssize(images));
  stored_labels_ = accelerator_.make_array<std::int32_t>(std::ssize(labels));
  transfer(images, stored_images_.span());
  transfer(std::as_bytes(labels),
           {reinterpret_cast<std::byte*>(stored_labels_.span().data), stored_labels_.span().bytes()});
}

void DeviceSamples::stage(const data::Batch& batch) {
  check(batch.shards.size() + 1 == first_.size(), "a batch has all shards of its rank");
  epoch_.host.span()[0] = batch.epoch;
  for (std::size_t i = 0; i < batch.shards.size(); ++i) {
    const data::ShardBatch& shard = batch.shards[i];
    const auto first = static_cast<std::size_t>(first_[i]);
    check(first_[i] + shard.count <= first_[i + 1], "a shard has no more samples than in its largest step");
    const std::span rows(shard.rows, static_cast<std::size_t>(shard.count));
    std::ranges::copy(rows, rows_.host.span().subspan(first).begin());
    if (on_device_) {
      std::ranges::transform(rows, places_.host.span().subspan(first).begin(),
                             [&](std::int64_t row) { return dataset_.place_of(row); });
    } else {
      std::copy_n(shard.images, shard.count * image_size_,
                  host_images_.span().subspan(static_cast<std::size_t>(first_image_[i])).begin());
      std::copy_n(shard.labels, shard.count, host_labels_.span().subspan(first).begin());
    }
  }
}

void DeviceSamples::queue_copies(device::Stream& stream) {
  epoch_.queue_copy(stream);
  rows_.queue_copy(stream);
  if (on_device_) return places_.queue_copy(stream);
  device::copy_in<float>(stream, images_.span(), host_images_.span());
  device::copy_in<std::int32_t>(stream, labels_.span(), host_labels_.span());
}

device::DeviceShard DeviceSamples::queue_shard(device::Stream& stream, std::size_t i, std::int64_t count) {
  const std::int64_t first = first_[i];
  const auto images = images_.span().subspan(first_image_[i], count * image_size_);
  const auto labels = labels_.span().subspan(first, count);
  if (on_device_)
    accelerator_.gather(stream,
                        {.images = stored_images_.span(),
                         .labels = stored_labels_.span(),
                         .type = dataset_.info().image_type,
                         .image = dataset_.info().image},
                        places_.device.span().subspan(first, count), scale_, images, labels);
  return {.images = images,
          .labels = labels,
          .rows = rows_.device.span().subspan(first, count),
          .epoch = epoch_.device.span()};
}

}  // namespace lockstep::train
