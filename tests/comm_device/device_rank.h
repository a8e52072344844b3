#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "../comm/tree_reference.h"
#include "comm/device_collective.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "device/accelerator.h"

namespace lockstep::comm {

/// Everything that a rank of a trainer on devices has, on `shards` shards of `blocks` blocks, with whatever
/// accelerators the test is linked with.
class DeviceRank {
 public:
  DeviceRank(World& world, config::Exchange exchange, std::int64_t shards, std::int64_t blocks, int device);
  /// With the device of the rank's number.
  DeviceRank(World& world, config::Exchange exchange, std::int64_t shards, std::int64_t blocks)
      : DeviceRank(world, exchange, shards, blocks, world.rank()) {}

  /// Steps by calls, or by replays of a graph.
  enum class Way : std::uint8_t { called, captured };

  /// One step whose 'optimizer' writes the mean gradient over the weights. Returns these.
  std::vector<float> run(const testing::Step& step, Way way);
  /// The sum over ranks by all_reduce.
  std::vector<float> sum(std::span<const float> own, Way way);

  [[nodiscard]] DeviceCollective& collective() { return *collective_; }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  /// This rank's partial sums of the step, and its number of samples.
  void copy_in(const testing::Step& step);
  void queue_step();
  void do_it(Way way, std::unique_ptr<device::Graph>& graph, void (DeviceRank::*queue)());
  void queue_sum();
  /// What is in result_ when all that `queue` queues is done.
  std::vector<float> result_of(const std::function<void()>& queue);

  std::int64_t shards_;
  std::int64_t size_;
  std::unique_ptr<device::Accelerator> accelerator_;
  std::unique_ptr<device::Stream> stream_;
  std::vector<device::DeviceArray<float>> slabs_;
  std::vector<device::PinnedArray<float>> pinned_;
  std::vector<DevicePartial> partials_;
  device::DeviceArray<float> weights_;
  device::PinnedArray<float> result_;
  device::DeviceArray<device::UpdateArguments> arguments_;
  device::PinnedArray<device::UpdateArguments> pinned_arguments_;
  std::unique_ptr<DeviceCollective> collective_;
  std::unique_ptr<device::Graph> step_;  // before the collective goes, as NCCL demands
  std::unique_ptr<device::Graph> sum_;
};

}  // namespace lockstep::comm
