#pragma once

#include <span>

#include "base/aligned_buffer.h"
#include "base/stopwatch.h"
#include "device/cpu/bound_network.h"
#include "device/cpu/network_plan.h"
#include "device/cpu/stage_run.h"

namespace lockstep::device::cpu {

/// Runs single shards. Must not outlive its plan.
class NetworkRunner final : public ShardRunner {
 public:
  explicit NetworkRunner(const NetworkPlan& plan);
  Totals train(const ShardInput& input, std::span<float> gradient) override;
  Totals evaluate(const ShardInput& input) override;

 private:
  void forward(const Pass& pass, PassTimes* times, Stopwatch& watch);
  void run(std::size_t stage, Direction direction, const Pass& pass, PassTimes* times, Stopwatch& watch);

  const NetworkPlan& plan_;
  AlignedBuffer<std::byte> arena_, scratch_;
  BoundNetwork network_;
};

}  // namespace lockstep::device::cpu
