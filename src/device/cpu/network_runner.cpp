#include "device/cpu/network_runner.h"

#include <algorithm>
#include <array>
#include <ranges>

#include "base/check.h"
#include "device/cpu/layer_error.h"

namespace lockstep::device::cpu {

NetworkRunner::NetworkRunner(const NetworkPlan& plan, int together)
    : plan_(plan), scratch_(static_cast<std::size_t>(plan.scratch().bytes())) {
  check(1 <= together && together <= most_runs, "a plan says how many shards run together");
  networks_.reserve(static_cast<std::size_t>(together));
  for (int shard = 0; shard < together; ++shard) networks_.emplace_back(plan, scratch_.span());
  find_legs();
}

void NetworkRunner::find_legs() {
  const auto& stages = plan_.stages();
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const bool together = stages[stage].block->contract().large_weights > 0;
    if (legs_.empty() || together || legs_.back().together)
      legs_.push_back({.begin = stage, .end = stage + 1, .together = together});
    else
      ++legs_.back().end;
  }
}

Totals NetworkRunner::train(const ShardInput& input, std::span<float> gradient) {
  ShardJob job{.input = input, .gradient = gradient, .totals = {}};
  train_together({&job, 1});
  return job.totals;
}

void NetworkRunner::train_together(std::span<ShardJob> jobs) {
  check(plan_.mode() == Mode::training, "only a plan for training can train");
  check(!jobs.empty() && jobs.size() <= networks_.size(), "a runner was made for so many shards together");
  std::array<Pass, most_runs> memory;
  const std::span passes = std::span(memory).first(jobs.size());
  for (std::size_t shard = 0; shard < jobs.size(); ++shard) {
    const auto& [input, gradient, totals] = jobs[shard];
    check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
    check(std::ssize(gradient) == plan_.network().parameters.slab_size(), "the gradient is a whole slab");
    passes[shard] = {.training = true,
                     .images = input.images,
                     .rows = input.rows,
                     .epoch = input.epoch,
                     .gradient = gradient.data(),
                     .kept = input.kept};
  }
  PassTimes* const times = jobs.front().input.times;
  Stopwatch watch(times != nullptr);
  forward(passes, times, watch);
  for (std::size_t shard = 0; shard < jobs.size(); ++shard)
    jobs[shard].totals = networks_[shard].loss(jobs[shard].input.labels, /*has_backward=*/true);
  if (times != nullptr) watch.lap(times->loss);
  backward(passes, times, watch);
  for (const ShardJob& job : jobs)
    for (const Range& gap : plan_.gaps())
      std::fill(job.gradient.begin() + gap.begin, job.gradient.begin() + gap.end, 0.0F);
}

Totals NetworkRunner::evaluate(const ShardInput& input) {
  check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
  Stopwatch watch(input.times != nullptr);
  const Pass pass{.images = input.images};
  forward({&pass, 1}, input.times, watch);
  return networks_.front().loss(input.labels, /*has_backward=*/false);
}

void NetworkRunner::forward(std::span<const Pass> passes, PassTimes* times, Stopwatch& watch) {
  prepare_cpu_thread();
  for (std::size_t shard = 0; shard < passes.size(); ++shard)
    networks_[shard].set_images(passes[shard].images);
  for (const Leg& leg : legs_) {
    const std::size_t group = leg.together ? passes.size() : 1;
    for (std::size_t first = 0; first < passes.size(); first += group)
      for (std::size_t stage = leg.begin; stage < leg.end; ++stage) {
        run_stage(stage, &Block::forward, first, passes.subspan(first, group));
        if (PassTimes::Node* node = times_of(stage, times)) watch.lap(node->forward);
      }
  }
}

void NetworkRunner::backward(std::span<const Pass> passes, PassTimes* times, Stopwatch& watch) {
  for (const Leg& leg : std::views::reverse(legs_)) {
    const std::size_t group = leg.together ? passes.size() : 1;
    for (std::size_t first = 0; first < passes.size(); first += group)
      for (std::size_t stage = leg.end; stage-- > std::max(leg.begin, plan_.backward_end());) {
        run_stage(stage, &Block::backward, first, passes.subspan(first, group));
        if (PassTimes::Node* node = times_of(stage, times)) watch.lap(node->backward);
      }
  }
}

void NetworkRunner::run_stage(std::size_t stage, Direction direction, std::size_t first,
                              std::span<const Pass> passes) {
  std::array<BlockRun, most_runs> runs;
  for (std::size_t shard = 0; shard < passes.size(); ++shard)
    runs[shard] = {&networks_[first + shard].stage(stage), &passes[shard]};
  const NetworkPlan::Stage& planned = plan_.stages()[stage];
  with_layer(*planned.node, plan_.samples(),
             [&] { ((*planned.block).*direction)(std::span(runs).first(passes.size())); });
}

PassTimes::Node* NetworkRunner::times_of(std::size_t stage, PassTimes* times) const {
  if (times == nullptr) return nullptr;
  const auto node = plan_.stages()[stage].node - plan_.network().nodes.data();
  return &times->nodes[static_cast<std::size_t>(node)];
}

}  // namespace lockstep::device::cpu
