#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"
#include "config/experiment.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/stripes.h"
#include "device/accelerator.h"

namespace lockstep::train {

/// Brings the samples of a rank's shards into device memory. Where the rank's stripes lie there, as the file
/// has them, only the numbers of rows travel, and the device gathers and scales; else the images do, from
/// page-locked memory.
class DeviceSamples {
 public:
  /// Copies the stripes to the device if they are to lie there. The references must outlive it.
  DeviceSamples(device::Accelerator& accelerator, device::Stream& stream, const data::Dataset& dataset,
                const data::Stripes& stripes, Range shards, float scale, config::DataPlace place);

  /// Whether the device has the stripes: batches then need no images.
  [[nodiscard]] bool on_device() const { return on_device_; }

  /// Writes down a batch for queue_copies(). What was queued before must be done.
  void stage(const data::Batch& batch);
  /// Queues the copies of what has been staged when they are done.
  void queue_copies(device::Stream& stream);
  /// Queues what else it takes until the samples of a shard, the i-th of the rank, lie ready: `count` of
  /// them.
  device::DeviceShard queue_shard(device::Stream& stream, std::size_t i, std::int64_t count);

 private:
  template <class T>
  struct Twin {  ///< on the host and on the device
    device::PinnedArray<T> host;
    device::DeviceArray<T> device;
    void queue_copy(device::Stream& stream) const {
      device::copy_in<T>(stream, device.span(), std::span<const T>(host.span()));
    }
  };
  template <class T>
  Twin<T> make_twin(std::int64_t count) {
    return {accelerator_.make_pinned<T>(count), accelerator_.make_array<T>(count)};
  }
  [[nodiscard]] bool belongs_on_device(config::DataPlace place) const;
  void store(device::Stream& stream);

  device::Accelerator& accelerator_;
  const data::Dataset& dataset_;
  float scale_;
  std::int64_t image_size_;
  std::vector<std::int64_t> first_;        // of each shard's samples in the arrays below; and their number
  std::vector<std::int64_t> first_image_;  // of each shard's images, in floats; and how many there are
  bool on_device_;

  device::DeviceArray<std::byte> stored_images_;  // the stripes, if they lie on the device
  device::DeviceArray<std::int32_t> stored_labels_;

  Twin<std::int64_t> epoch_;                // one
  Twin<std::int64_t> rows_;                 // the samples' identities
  Twin<std::int64_t> places_;               // among those stored; none if they are not
  device::PinnedArray<float> host_images_;  // none if they are
  device::PinnedArray<std::int32_t> host_labels_;
  device::DeviceArray<float> images_;
  device::DeviceArray<std::int32_t> labels_;
};

}  // namespace lockstep::train
