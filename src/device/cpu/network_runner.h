#pragma once

#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/stopwatch.h"
#include "device/cpu/bound_network.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device::cpu {

/// Runs one or more shards: each passes through stage after stage, but through a stage with large weights all
/// of them before any goes on. Must not outlive its plan.
class NetworkRunner final : public ShardRunner {
 public:
  /// For so many shards together, at most most_runs.
  NetworkRunner(const NetworkPlan& plan, int together);
  Totals train(const ShardInput& input, std::span<float> gradient) override;
  void train_together(std::span<ShardJob> jobs) override;
  Totals evaluate(const ShardInput& input) override;

 private:
  /// Stages that each shard passes through before the next one does, or one that all pass together.
  struct Leg {
    std::size_t begin, end;
    bool together;
  };
  void find_legs();
  void forward(std::span<const Pass> passes, PassTimes* times, Stopwatch& watch);
  void backward(std::span<const Pass> passes, PassTimes* times, Stopwatch& watch);
  using Direction = void (Block::*)(std::span<const BlockRun> runs) const;
  /// A stage of some of the shards, the first of which is number `first`.
  void run_stage(std::size_t stage, Direction direction, std::size_t first, std::span<const Pass> passes);
  /// Where a stage's time counts, if anybody wants to know.
  [[nodiscard]] PassTimes::Node* times_of(std::size_t stage, PassTimes* times) const;

  const NetworkPlan& plan_;
  std::vector<Leg> legs_;
  AlignedBuffer<std::byte> scratch_;
  std::vector<BoundNetwork> networks_;  ///< by shard
};

}  // namespace lockstep::device::cpu
