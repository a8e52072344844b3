#pragma once

#include <memory>
#include <vector>

#include "device/accelerator.h"
#include "device/cuda/lane.h"
#include "device/cuda/layer.h"
#include "device/cuda/network_plan.h"

namespace lockstep::device::cuda {

/// The order of a pass, on a lane.
class NetworkRunner final : public DeviceRunner {
 public:
  NetworkRunner(const NetworkPlan& plan, std::shared_ptr<Lane> lane);

  void forward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
               DeviceSpan<Totals> totals) override;
  void backward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                DeviceSpan<float> gradient, const Finished& finished) override;
  void evaluate(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                DeviceSpan<Totals> totals) override;

 private:
  /// What all layers of a pass are given.
  struct Pass {
    cudaStream_t stream;
    const DeviceShard& shard;
    const float* weights;
    bool training;
    float* gradient;
  };
  [[nodiscard]] Pass begin(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                           bool training, float* gradient);
  [[nodiscard]] Run run_of(const Pass& pass, std::size_t stage) const;
  void forward(const Pass& pass, DeviceSpan<Totals> totals) const;
  void loss(const Pass& pass, DeviceSpan<Totals> totals) const;
  void backward(const Pass& pass, std::size_t stage) const;
  /// Null for a place that is not in the arena.
  [[nodiscard]] std::byte* at(int place) const;
  [[nodiscard]] float* floats(int place) const;

  const NetworkPlan& plan_;
  std::shared_ptr<Lane> lane_;
  std::vector<std::vector<std::byte*>> buffers_;  ///< by stage; none before the first pass
};

}  // namespace lockstep::device::cuda
