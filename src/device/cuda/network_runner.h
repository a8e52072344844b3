#pragma once

#include <memory>
#include <vector>

#include "device/accelerator.h"
#include "device/cuda/layer.h"
#include "device/cuda/network_plan.h"

namespace lockstep::device::cuda {

/// One runner's memory and library handles, and the order of a pass.
class NetworkRunner final : public DeviceRunner {
 public:
  explicit NetworkRunner(const NetworkPlan& plan);
  NetworkRunner(const NetworkRunner&) = delete;
  NetworkRunner& operator=(const NetworkRunner&) = delete;
  ~NetworkRunner() override;

  void train(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
             DeviceSpan<float> gradient, DeviceSpan<Totals> totals) override;
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
                           bool training, float* gradient) const;
  [[nodiscard]] Run run_of(const Pass& pass, std::size_t stage) const;
  void forward(const Pass& pass) const;
  void loss(const Pass& pass, DeviceSpan<Totals> totals) const;
  void backward(const Pass& pass) const;
  /// Null for a place that is not in the arena.
  [[nodiscard]] std::byte* at(int place) const;
  [[nodiscard]] float* floats(int place) const;

  const NetworkPlan& plan_;
  int device_;
  std::unique_ptr<Memory> arena_;
  std::unique_ptr<Libraries> libraries_;
  std::vector<std::vector<std::byte*>> buffers_;  ///< by stage
};

}  // namespace lockstep::device::cuda
