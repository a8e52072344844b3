#include "data/batch_maker.h"

#include <algorithm>
#include <span>

#include "base/check.h"

namespace lockstep::data {
namespace {

constexpr std::size_t rows_ahead = 2;
constexpr std::size_t floats_per_line = 16;  // each shard's images begin on a cache line

std::size_t round_up(std::size_t floats) {
  return (floats + floats_per_line - 1) / floats_per_line * floats_per_line;
}

}  // namespace

std::int64_t Slot::bytes() const {
  return static_cast<std::int64_t>(images_.span().size_bytes() + labels_.span().size_bytes() +
                                   rows_.span().size_bytes() + maps_.span().size_bytes());
}

BatchMaker::BatchMaker(const Dataset& dataset, Sampler sampler, float scale, Range shards, Images images,
                       std::optional<Augmentation> augmentation, int threads)
    : dataset_(dataset),
      sampler_(sampler),
      scale_(scale),
      shards_(shards),
      images_(images),
      augmentation_(augmentation),
      image_size_(static_cast<std::size_t>(dataset.info().image.count())) {
  check(stripes().samples() == dataset.info().samples, "the sampler is that of the data set");
  if (!augmentation_ || images_ == Images::left) return;
  for (int thread = 0; thread < threads; ++thread) distorters_.emplace_back(dataset.info().image);
}

std::int64_t BatchMaker::capacity(std::int64_t shard) const {
  return std::max(sampler_.count(0, shard), sampler_.count(stripes().steps() - 1, shard));
}

Slot BatchMaker::make_slot() const {
  Slot slot;
  std::size_t samples = 0;
  std::size_t floats = 0;
  for (std::int64_t shard = shards_.begin; shard < shards_.end; ++shard) {
    const auto most = static_cast<std::size_t>(capacity(shard));
    samples += most;
    floats += round_up(most * image_size_);
  }
  if (images_ == Images::gathered) slot.images_ = AlignedBuffer<float>(floats);
  slot.labels_ = AlignedBuffer<std::int32_t>(samples);
  slot.rows_ = AlignedBuffer<std::int64_t>(samples);
  const bool leaves_maps = augmentation_ && images_ == Images::left;
  if (leaves_maps) slot.maps_ = AlignedBuffer<AffineMap>(samples);
  float* images = slot.images_.data();
  std::size_t first = 0;
  for (std::int64_t shard = shards_.begin; shard < shards_.end; ++shard) {
    const auto most = static_cast<std::size_t>(capacity(shard));
    const Slot::ShardMemory& memory = slot.memory_.emplace_back(
        Slot::ShardMemory{images, slot.labels_.data() + first, slot.rows_.data() + first,
                          leaves_maps ? slot.maps_.data() + first : nullptr});
    slot.batch_.shards.push_back({shard, 0, memory.images, memory.labels, memory.rows, memory.maps});
    if (images != nullptr) images += round_up(most * image_size_);
    first += most;
  }
  return slot;
}

std::int64_t BatchMaker::bytes() const {
  std::int64_t total = 0;
  for (const Distorter& distorter : distorters_) total += distorter.bytes();
  return total;
}

void BatchMaker::begin(Slot& slot, std::int64_t epoch, std::int64_t step) const {
  slot.batch_.epoch = epoch;
  slot.batch_.step = step;
  slot.batch_.global_samples = stripes().step_samples(step);
}

void BatchMaker::fill(Slot& slot, std::int64_t index, int thread) {
  const std::int64_t epoch = slot.batch_.epoch;
  ShardBatch& shard = slot.batch_.shards[static_cast<std::size_t>(index)];
  shard.count = sampler_.count(slot.batch_.step, shard.shard);
  auto [images, labels, first_row, maps] = slot.memory_[static_cast<std::size_t>(index)];
  const std::span rows(first_row, static_cast<std::size_t>(shard.count));
  sampler_.rows(epoch, slot.batch_.step, shard.shard, rows);
  for (const std::int64_t row : rows) *labels++ = dataset_.label(row);
  if (images_ == Images::left) {
    if (maps != nullptr)
      for (const std::int64_t row : rows) *maps++ = augmentation_->map(epoch, row);
    return;
  }
  for (std::size_t i = 0; i < rows.size(); ++i, images += image_size_) {
    // Shuffled rows lie anywhere in memory: fetch ahead, or the thread waits for each of them.
    if (i + rows_ahead < rows.size()) dataset_.prefetch(rows[i + rows_ahead]);
    if (augmentation_)
      distorters_[static_cast<std::size_t>(thread)].gather(
          dataset_, rows[i], scale_, augmentation_->map(epoch, rows[i]), {images, image_size_});
    else
      dataset_.gather(rows[i], scale_, {images, image_size_});
  }
}

}  // namespace lockstep::data
