#include "device/cpu/network_group_runner.h"

#include <array>

#include "base/check.h"

namespace lockstep::device::cpu {

NetworkGroupRunner::NetworkGroupRunner(const NetworkPlan& plan, int places, int workers) : plan_(plan) {
  check(plan.backward_end() <= plan.turn(), "large weights have a gradient");
  for (int place = 0; place < places; ++place) arenas_.push_back(BoundNetwork::make_arena(plan));
  for (int worker = 0; worker < workers; ++worker) {
    scratch_.emplace_back(static_cast<std::size_t>(plan.scratch().bytes()));
    std::vector<BoundNetwork>& networks = networks_.emplace_back();
    networks.reserve(arenas_.size());
    for (const auto& arena : arenas_) networks.emplace_back(plan, arena.span(), scratch_.back().span());
  }
}

void NetworkGroupRunner::forward(int place, int worker, const ShardInput& input) {
  check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
  prepare_cpu_thread();
  const Pass pass{.training = true, .images = input.images, .rows = input.rows, .epoch = input.epoch};
  Stopwatch watch(input.times != nullptr);
  network(place, worker).set_images(input.images);
  for (std::size_t stage = 0; stage < plan_.turn(); ++stage)
    run(stage, &Block::forward, place, worker, {&pass, 1}, input.times, watch);
}

void NetworkGroupRunner::turn(int first, int worker, std::span<ShardJob> jobs) {
  check(!jobs.empty() && jobs.size() <= most_runs, "a group is of so many shards");
  prepare_cpu_thread();
  std::array<Pass, most_runs> memory;
  const std::span passes = std::span(memory).first(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    passes[i] = training_pass(plan_, jobs[i].input, jobs[i].gradient);
    network(first + static_cast<int>(i), worker).set_images(jobs[i].input.images);
  }
  PassTimes* const times = jobs.front().input.times;
  Stopwatch watch(times != nullptr);
  for (std::size_t stage = plan_.turn(); stage < plan_.stages().size(); ++stage)
    run(stage, &Block::forward, first, worker, passes, times, watch);
  for (std::size_t i = 0; i < jobs.size(); ++i)
    jobs[i].totals =
        network(first + static_cast<int>(i), worker).loss(jobs[i].input.labels, /*has_backward=*/true);
  if (times != nullptr) watch.lap(times->loss);
  for (std::size_t stage = plan_.stages().size(); stage-- > plan_.turn();)
    run(stage, &Block::backward, first, worker, passes, times, watch);
}

void NetworkGroupRunner::backward(int place, int worker, const ShardJob& job) {
  prepare_cpu_thread();
  const Pass pass = training_pass(plan_, job.input, job.gradient);
  Stopwatch watch(job.input.times != nullptr);
  network(place, worker).set_images(job.input.images);
  for (std::size_t stage = plan_.turn(); stage-- > plan_.backward_end();)
    run(stage, &Block::backward, place, worker, {&pass, 1}, job.input.times, watch);
  clear_gaps(plan_, job.gradient);
}

BoundNetwork& NetworkGroupRunner::network(int place, int worker) {
  return networks_.at(static_cast<std::size_t>(worker)).at(static_cast<std::size_t>(place));
}

void NetworkGroupRunner::run(std::size_t stage, Direction direction, int first, int worker,
                             std::span<const Pass> passes, PassTimes* times, Stopwatch& watch) {
  std::array<BlockRun, most_runs> runs;
  for (std::size_t i = 0; i < passes.size(); ++i)
    runs[i] = {&network(first + static_cast<int>(i), worker).stage(stage), &passes[i]};
  run_stage(plan_, stage, direction, std::span(runs).first(passes.size()), times, watch);
}

}  // namespace lockstep::device::cpu
