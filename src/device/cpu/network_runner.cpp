#include "device/cpu/network_runner.h"

#include <array>

#include "base/check.h"

namespace lockstep::device::cpu {

NetworkRunner::NetworkRunner(const NetworkPlan& plan)
    : plan_(plan),
      arena_(BoundNetwork::make_arena(plan)),
      scratch_(static_cast<std::size_t>(plan.scratch().bytes())),
      network_(plan, arena_.span(), scratch_.span()) {}

Totals NetworkRunner::train(const ShardInput& input, std::span<float> gradient) {
  const Pass pass = training_pass(plan_, input, gradient);
  Stopwatch watch(input.times != nullptr);
  forward(pass, input.times, watch);
  const Totals totals = network_.loss(input.labels, /*has_backward=*/true);
  if (input.times != nullptr) watch.lap(input.times->loss);
  for (std::size_t stage = plan_.stages().size(); stage-- > plan_.backward_end();)
    run(stage, &Block::backward, pass, input.times, watch);
  clear_gaps(plan_, gradient);
  return totals;
}

Totals NetworkRunner::evaluate(const ShardInput& input) {
  check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
  Stopwatch watch(input.times != nullptr);
  forward({.images = input.images}, input.times, watch);
  return network_.loss(input.labels, /*has_backward=*/false);
}

void NetworkRunner::forward(const Pass& pass, PassTimes* times, Stopwatch& watch) {
  prepare_cpu_thread();
  network_.set_images(pass.images);
  for (std::size_t stage = 0; stage < plan_.stages().size(); ++stage)
    run(stage, &Block::forward, pass, times, watch);
}

void NetworkRunner::run(std::size_t stage, Direction direction, const Pass& pass, PassTimes* times,
                        Stopwatch& watch) {
  run_stage(plan_, stage, direction, std::array{BlockRun{&network_.stage(stage), &pass}}, times, watch);
}

}  // namespace lockstep::device::cpu
