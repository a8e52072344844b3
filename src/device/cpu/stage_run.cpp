#include "device/cpu/stage_run.h"

#include <algorithm>

#include "base/check.h"
#include "device/cpu/layer_error.h"

namespace lockstep::device::cpu {

Pass training_pass(const NetworkPlan& plan, const ShardInput& input, std::span<float> gradient) {
  check(plan.mode() == Mode::training, "only a plan for training can train");
  check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
  check(std::ssize(gradient) == plan.network().parameters.slab_size(), "the gradient is a whole slab");
  return {.training = true,
          .images = input.images,
          .rows = input.rows,
          .epoch = input.epoch,
          .gradient = gradient.data(),
          .kept = input.kept};
}

void run_stage(const NetworkPlan& plan, std::size_t stage, Direction direction,
               std::span<const BlockRun> runs, PassTimes* times, Stopwatch& watch) {
  const NetworkPlan::Stage& planned = plan.stages()[stage];
  with_layer(*planned.node, plan.samples(), [&] { ((*planned.block).*direction)(runs); });
  if (times == nullptr) return;
  const auto index = planned.node - plan.network().nodes.data();
  PassTimes::Node& node = times->nodes[static_cast<std::size_t>(index)];
  watch.lap(direction == &Block::forward ? node.forward : node.backward);
}

void clear_gaps(const NetworkPlan& plan, std::span<float> gradient) {
  for (const Range& gap : plan.gaps())
    std::fill(gradient.begin() + gap.begin, gradient.begin() + gap.end, 0.0F);
}

}  // namespace lockstep::device::cpu
