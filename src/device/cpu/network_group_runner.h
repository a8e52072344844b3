#pragma once

#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/stopwatch.h"
#include "device/cpu/bound_network.h"
#include "device/cpu/network_plan.h"
#include "device/cpu/stage_run.h"

namespace lockstep::device::cpu {

/// Runs groups of shards, which turn at the plan's turn(): above it each stage takes all shards of a group
/// before the next one does. Must not outlive its plan.
class NetworkGroupRunner final : public GroupRunner {
 public:
  NetworkGroupRunner(const NetworkPlan& plan, int places, int workers);
  void forward(int place, int worker, const ShardInput& input) override;
  void turn(int first, int worker, std::span<ShardJob> jobs) override;
  void backward(int place, int worker, const ShardJob& job) override;

 private:
  /// For the worker to run the shard in that place.
  BoundNetwork& network(int place, int worker);
  void run(std::size_t stage, Direction direction, int first, int worker, std::span<const Pass> passes,
           PassTimes* times, Stopwatch& watch);

  const NetworkPlan& plan_;
  std::vector<AlignedBuffer<std::byte>> arenas_;     ///< by place
  std::vector<AlignedBuffer<std::byte>> scratch_;    ///< by worker
  std::vector<std::vector<BoundNetwork>> networks_;  ///< by worker and place
};

}  // namespace lockstep::device::cpu
