#pragma once

#include <memory>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/stopwatch.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device::cpu {

/// One worker's memory and the calls bound to it. Must not outlive its plan.
class NetworkRunner final : public ShardRunner {
 public:
  explicit NetworkRunner(const NetworkPlan& plan);
  Totals train(const ShardInput& input, std::span<float> gradient) override;
  Totals evaluate(const ShardInput& input) override;

 private:
  dnnl::memory bind(const NetworkPlan::Tensor& tensor);
  void forward(const ShardInput& input, const Pass& pass, Stopwatch& watch);
  void backward(const Pass& pass, PassTimes* times, Stopwatch& watch);
  /// Where a stage's time counts, if anybody wants to know.
  [[nodiscard]] PassTimes::Node* times_of(std::size_t stage, PassTimes* times) const;
  Totals loss(const ShardInput& input, std::span<float> output_gradient) const;

  const NetworkPlan& plan_;
  AlignedBuffer<std::byte> arena_;
  std::vector<dnnl::memory> images_;  ///< views of the caller's images, pointed anew in each run
  dnnl::memory outputs_, output_gradient_;
  std::vector<std::unique_ptr<BlockRunner>> stages_;
};

}  // namespace lockstep::device::cpu
