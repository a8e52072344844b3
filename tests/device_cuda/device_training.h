#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device/chains.h"
#include "device_cuda/standin_device.h"

namespace lockstep::testing {

/// What training one shard gives, as bits.
struct TrainedShard {
  std::vector<std::uint32_t> gradient;
  std::uint64_t loss = 0;
  std::int64_t correct = 0;
  friend bool operator==(const TrainedShard&, const TrainedShard&) = default;
};

/// A network planned for a shard, its data and a runner in the memory of a stand-in's device.
class DeviceTraining {
 public:
  DeviceTraining(const StandinDevice& device, const device::Network& network, std::int64_t samples,
                 const std::string& choices = "");
  DeviceTraining(const DeviceTraining&) = delete;
  DeviceTraining& operator=(const DeviceTraining&) = delete;
  /// Waits for what a failure has left in the queue, which uses memory of this.
  ~DeviceTraining();

  [[nodiscard]] device::DevicePlan& plan() const { return *plan_; }
  /// Other images, labels, rows and another epoch at the same addresses.
  void load(const Shard& shard, std::int64_t epoch);
  /// Queues a shard and does not wait.
  void queue(device::Stream& stream);
  /// The same in two halves.
  void queue_halves(device::Stream& stream, const device::DeviceRunner::Finished& finished);
  [[nodiscard]] device::DeviceSpan<const float> gradient() const { return gradient_.span(); }
  /// What the last one gave. The stream must be done with it.
  [[nodiscard]] TrainedShard result() const;
  TrainedShard train();

 private:
  [[nodiscard]] device::DeviceShard shard() const;

  const StandinDevice& device_;
  std::unique_ptr<device::DevicePlan> plan_;
  device::DeviceArray<float> images_, weights_, gradient_;
  device::DeviceArray<std::int32_t> labels_;
  device::DeviceArray<std::int64_t> rows_, epoch_;
  device::DeviceArray<device::Totals> totals_;
  std::unique_ptr<device::DeviceRunner> runner_;
};

}  // namespace lockstep::testing
