#include "train/device_samples.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>

#include "base/check.h"

namespace lockstep::train {
namespace {

/// The most samples that each shard has in any step: all steps but the last are alike.
std::vector<std::int64_t> most_samples(const data::Stripes& stripes, Range shards) {
  std::vector<std::int64_t> most;
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
    const Range one{shard, shard + 1};
    most.push_back(std::max(stripes.rows(0, one).size(), stripes.rows(stripes.steps() - 1, one).size()));
  }
  return most;
}

/// Where the images of each shard begin, as aligned as memory of their own would be: libraries choose
/// kernels, and so bits, by alignment.
std::vector<std::int64_t> first_images(std::span<const std::int64_t> samples, std::int64_t image_size) {
  constexpr std::int64_t alignment = device::Memory::alignment / sizeof(float);
  std::vector<std::int64_t> first{0};
  for (const std::int64_t count : samples)
    first.push_back(first.back() + (count * image_size + alignment - 1) / alignment * alignment);
  return first;
}

template <class T>
std::span<T> part_of(std::span<T> values, Range part) {
  return values.subspan(static_cast<std::size_t>(part.begin), static_cast<std::size_t>(part.size()));
}

}  // namespace

DeviceSamples::DeviceSamples(device::Accelerator& accelerator, device::Stream& stream,
                             const data::Dataset& dataset, const data::Stripes& stripes, Range shards,
                             float scale, config::DataPlace place, std::int64_t room, bool distorts)
    : accelerator_(accelerator),
      dataset_(dataset),
      scale_(scale),
      image_size_(dataset.info().image.count()),
      on_device_(belongs_on_device(place, room)),
      distorts_(distorts && on_device_) {
  const std::vector<std::int64_t> most = most_samples(stripes, shards);
  first_image_ = first_images(most, image_size_);
  capacity_ = std::accumulate(most.begin(), most.end(), std::int64_t{0});
  for (const std::size_t number : {0, 1}) slots_.push_back(make_slot(number));
  there_.push_back(make_on_device());
  if (on_device_) {
    store(stream);
    return;
  }
  there_.push_back(make_on_device());
  copies_ = accelerator.make_stream();
}

/// Images may still be on their way after a failure.
DeviceSamples::~DeviceSamples() {
  try {
    if (copies_) copies_->synchronize();
  } catch (const std::exception&) {
    return;  // which has been reported
  }
}

DeviceSamples::Slot DeviceSamples::make_slot(std::size_t number) const {
  Slot slot;
  slot.staged.slot = number;
  slot.host_numbers = accelerator_.make_pinned<std::int64_t>(numbers());
  // A step with fewer samples copies what is left of another one along: nobody reads it, but it is something.
  std::ranges::fill(slot.host_numbers.span(), 0);
  if (on_device_) return slot;
  slot.host_images = accelerator_.make_pinned<float>(first_image_.back());
  slot.host_labels = accelerator_.make_pinned<std::int32_t>(capacity_);
  std::ranges::fill(slot.host_images.span(), 0.0F);
  std::ranges::fill(slot.host_labels.span(), 0);
  return slot;
}

DeviceSamples::OnDevice DeviceSamples::make_on_device() const {
  return {.numbers = accelerator_.make_array<std::int64_t>(numbers()),
          .images = accelerator_.make_array<float>(first_image_.back()),
          .labels = accelerator_.make_array<std::int32_t>(capacity_)};
}

bool DeviceSamples::belongs_on_device(config::DataPlace place, std::int64_t room) const {
  if (place == config::DataPlace::host) return false;
  if (place == config::DataPlace::device) {
    check(!dataset_.stored_images().empty(), "a data set that is to go to a device lies in memory");
    return true;
  }
  if (dataset_.stored_images().empty()) return false;
  return std::ssize(dataset_.stored_images()) <= room;
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

void DeviceSamples::place_pieces(Slot& slot, const data::Batch& batch, Pieces pieces) const {
  check(batch.shards.size() + 1 == first_image_.size(), "a batch has all shards of its rank");
  std::vector<std::int64_t>& counts = slot.staged.counts;
  counts.clear();
  slot.first_sample.clear();
  slot.first_image.clear();
  std::int64_t first = 0;
  for (std::size_t i = 0; i < batch.shards.size(); ++i) {
    const std::int64_t count = batch.shards[i].count;
    if (pieces == Pieces::shards || i == 0) {
      counts.push_back(count);
      slot.first_sample.push_back(first);
      slot.first_image.push_back(pieces == Pieces::shards ? first_image_[i] : 0);
    } else {
      counts.back() += count;
    }
    first += count;
    check(count * image_size_ <= first_image_[i + 1] - first_image_[i],
          "a shard has no more samples than in its largest step");
  }
}

bool DeviceSamples::has(const Slot& slot, const data::Batch& batch, Pieces pieces) {
  return slot.epoch == batch.epoch && slot.step == batch.step && slot.pieces == pieces;
}

const DeviceSamples::Staged& DeviceSamples::stage(const data::Batch& batch, Pieces pieces, std::size_t slot) {
  stage_ahead(batch, pieces, slot);
  current_ = slot;
  return slots_[slot].staged;
}

void DeviceSamples::stage_ahead(const data::Batch& batch, Pieces pieces, std::size_t slot) {
  if (!has(slots_[slot], batch, pieces)) write_down(slots_[slot], batch, pieces);
}

void DeviceSamples::write_down(Slot& slot, const data::Batch& batch, Pieces pieces) {
  if (copies_) copies_->synchronize();  // one out of this slot may be on its way, of a batch never used
  fill(slot, batch, pieces);
  if (!copies_) return;
  const OnDevice& there = there_[slot.staged.slot];
  device::copy_in<std::int64_t>(*copies_, there.numbers.span(), slot.host_numbers.span());
  device::copy_in<float>(*copies_, there.images.span(), slot.host_images.span());
  device::copy_in<std::int32_t>(*copies_, there.labels.span(), slot.host_labels.span());
}

void DeviceSamples::fill(Slot& slot, const data::Batch& batch, Pieces pieces) {
  slot.epoch = batch.epoch;
  slot.step = batch.step;
  slot.pieces = pieces;
  place_pieces(slot, batch, pieces);
  const std::span<std::int64_t> numbers = slot.host_numbers.span();
  numbers[0] = batch.epoch;
  std::int64_t first = 0;
  for (std::size_t i = 0; i < batch.shards.size(); ++i) {
    const data::ShardBatch& shard = batch.shards[i];
    const Range here{first, first + shard.count};
    const std::span identities(shard.rows, static_cast<std::size_t>(shard.count));
    std::ranges::copy(identities, part_of(part_of(numbers, rows()), here).begin());
    if (on_device_) {
      std::ranges::transform(identities, part_of(part_of(numbers, places()), here).begin(),
                             [&](std::int64_t row) { return dataset_.place_of(row); });
      check(shard.count == 0 || distorts_ == (shard.maps != nullptr),
            "samples come with maps where they are distorted");
      if (distorts_ && shard.count > 0)
        std::memcpy(part_of(numbers, maps()).data() + first * numbers_of_map, shard.maps,
                    static_cast<std::size_t>(shard.count) * sizeof(AffineMap));
    } else {
      const std::int64_t image = pieces == Pieces::shards ? first_image_[i] : first * image_size_;
      std::copy_n(shard.images, shard.count * image_size_, slot.host_images.span().begin() + image);
      std::copy_n(shard.labels, shard.count, slot.host_labels.span().begin() + first);
    }
    first = here.end;
  }
}

void DeviceSamples::await_images(device::Stream& stream) {
  if (copies_) stream.wait_for(*copies_);
}

void DeviceSamples::queue_copies(device::Stream& stream) {
  if (on_device_)
    device::copy_in<std::int64_t>(stream, on_device_of_current().numbers.span(),
                                  slots_[current_].host_numbers.span());
}

device::DeviceShard DeviceSamples::piece(std::size_t piece) const {
  const Slot& slot = slots_[current_];
  const OnDevice& there = on_device_of_current();
  const std::int64_t first = slot.first_sample[piece];
  const std::int64_t count = slot.staged.counts[piece];
  const device::DeviceSpan<const std::int64_t> numbers = there.numbers.span();
  return {.images = there.images.span().subspan(slot.first_image[piece], count * image_size_),
          .labels = there.labels.span().subspan(first, count),
          .rows = numbers.subspan(rows().begin + first, count),
          .epoch = numbers.subspan(0, 1)};
}

device::DeviceShard DeviceSamples::queue_piece(device::Stream& stream, std::size_t piece) {
  if (on_device_) gather(stream, piece);
  return this->piece(piece);
}

void DeviceSamples::gather(device::Stream& stream, std::size_t piece) const {
  const Slot& slot = slots_[current_];
  const OnDevice& there = on_device_of_current();
  const std::int64_t first = slot.first_sample[piece];
  const std::int64_t count = slot.staged.counts[piece];
  const device::DeviceSpan<const std::int64_t> numbers = there.numbers.span();
  device::DeviceSpan<const AffineMap> distortions;
  if (distorts_)
    distortions = {reinterpret_cast<const AffineMap*>(numbers.data + maps().begin) + first, count};
  accelerator_.gather(stream,
                      {.images = stored_images_.span(),
                       .labels = stored_labels_.span(),
                       .type = dataset_.info().image_type,
                       .image = dataset_.info().image},
                      numbers.subspan(places().begin + first, count), distortions, scale_,
                      there.images.span().subspan(slot.first_image[piece], count * image_size_),
                      there.labels.span().subspan(first, count));
}

}  // namespace lockstep::train
