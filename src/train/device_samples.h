#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "device/accelerator.h"
#include "train/pieces.h"

namespace lockstep::train {

/// Brings the samples of a rank's shards into device memory. Where the rank's stripes lie there, as the file
/// has them, only the numbers of rows travel, and the device gathers, distorts and scales; else the images
/// do, from page-locked memory.
class DeviceSamples {
 public:
  /// Copies the stripes to the device if they are to lie there; if that is for it to decide, where they take
  /// at most `room` bytes. `distorts`: batches without images have maps. The references must outlive it.
  DeviceSamples(device::Accelerator& accelerator, device::Stream& stream, const data::Dataset& dataset,
                const data::Stripes& stripes, Range shards, float scale, config::DataPlace place,
                std::int64_t room, bool distorts = false);
  ~DeviceSamples();
  DeviceSamples(const DeviceSamples&) = delete;
  DeviceSamples& operator=(const DeviceSamples&) = delete;

  /// Whether the device has the stripes: batches then need no images.
  [[nodiscard]] bool on_device() const { return on_device_; }

  /// How a batch lies ready: what is queued for two that lie alike is the same.
  struct Staged {
    std::vector<std::int64_t> counts;  ///< samples of each piece, some of which may have none
    std::size_t slot = 0;              ///< where
  };
  /// Makes a batch the one that what follows is about, to be used in these pieces: writes it down in a slot,
  /// 0 or 1, unless it lies there already. What was queued with another batch in that slot must be done.
  /// Valid until another takes the slot.
  const Staged& stage(const data::Batch& batch, Pieces pieces, std::size_t slot);
  /// The same, but nothing is about it yet.
  void stage_ahead(const data::Batch& batch, Pieces pieces, std::size_t slot);
  /// Makes the stream wait for images that are on their way. Not to be captured.
  void await_images(device::Stream& stream);
  /// Queues the copies of what has been staged, but for images.
  void queue_copies(device::Stream& stream);
  /// Queues what else it takes until the samples of a piece lie ready. Requires that it has some.
  device::DeviceShard queue_piece(device::Stream& stream, std::size_t piece);
  /// The samples of a piece, where they lie.
  [[nodiscard]] device::DeviceShard piece(std::size_t piece) const;

 private:
  static constexpr std::int64_t numbers_of_map = sizeof(AffineMap) / sizeof(std::int64_t);
  static_assert(sizeof(AffineMap) % sizeof(std::int64_t) == 0 && alignof(AffineMap) == alignof(std::int64_t));

  [[nodiscard]] bool belongs_on_device(config::DataPlace place, std::int64_t room) const;
  void store(device::Stream& stream);
  void gather(device::Stream& stream, std::size_t piece) const;
  /// Parts of the numbers, on the host and on the device.
  [[nodiscard]] Range rows() const { return {1, 1 + capacity_}; }
  [[nodiscard]] Range places() const { return {1 + capacity_, 1 + (2 * capacity_)}; }
  [[nodiscard]] Range maps() const {
    return {places().end, places().end + (distorts_ ? capacity_ * numbers_of_map : 0)};
  }
  /// How many there are.
  [[nodiscard]] std::int64_t numbers() const { return on_device_ ? maps().end : rows().end; }

  device::Accelerator& accelerator_;
  const data::Dataset& dataset_;
  float scale_;
  std::int64_t image_size_;
  std::vector<std::int64_t> first_image_;  // of each shard by itself, in floats; and how many there are
  std::int64_t capacity_;                  // samples
  bool on_device_;
  bool distorts_;  // on the device

  device::DeviceArray<std::byte> stored_images_;  // the stripes, if they lie on the device
  device::DeviceArray<std::int32_t> stored_labels_;

  /// Room for a batch on the device.
  struct OnDevice {
    device::DeviceArray<std::int64_t> numbers;
    device::DeviceArray<float> images;
    device::DeviceArray<std::int32_t> labels;
  };
  /// Room for a batch on the host.
  struct Slot {
    // The epoch; the samples' identities; unless none are stored, their places among those, and their maps
    // if they are distorted. One copy for all.
    device::PinnedArray<std::int64_t> host_numbers;
    device::PinnedArray<float> host_images;  // none if they are stored
    device::PinnedArray<std::int32_t> host_labels;

    // What it has. Pieces lie one behind the other, but for the alignment of images.
    std::int64_t epoch = 0, step = -1;
    Pieces pieces = Pieces::shards;
    Staged staged;
    std::vector<std::int64_t> first_sample, first_image;
  };
  [[nodiscard]] Slot make_slot(std::size_t number) const;
  [[nodiscard]] OnDevice make_on_device() const;
  void write_down(Slot& slot, const data::Batch& batch, Pieces pieces);
  void fill(Slot& slot, const data::Batch& batch, Pieces pieces);
  void place_pieces(Slot& slot, const data::Batch& batch, Pieces pieces) const;
  static bool has(const Slot& slot, const data::Batch& batch, Pieces pieces);
  /// What the current slot is copied to. Where the stripes are stored, both are copied when their turn comes,
  /// to one place.
  [[nodiscard]] const OnDevice& on_device_of_current() const { return there_[current_ % there_.size()]; }
  std::vector<Slot> slots_;  // two
  std::vector<OnDevice> there_;
  std::size_t current_ = 0;
  std::unique_ptr<device::Stream> copies_;  // of images, ahead of what waits for them
};

}  // namespace lockstep::train
