#pragma once

#include <span>

#include "base/stopwatch.h"
#include "device/cpu/block.h"
#include "device/cpu/network_plan.h"

namespace lockstep::device::cpu {

/// A shard's pass through a plan for training.
Pass training_pass(const NetworkPlan& plan, const ShardInput& input, std::span<float> gradient);

using Direction = void (Block::*)(std::span<const BlockRun> runs) const;
/// Runs a stage for some shards. `times`, which may be null, says where it counts.
void run_stage(const NetworkPlan& plan, std::size_t stage, Direction direction,
               std::span<const BlockRun> runs, PassTimes* times, Stopwatch& watch);

/// Zeros for what no block writes.
void clear_gaps(const NetworkPlan& plan, std::span<float> gradient);

}  // namespace lockstep::device::cpu
