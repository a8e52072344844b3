#include "device/cpu/network_runner.h"

#include <cstring>

#include "base/check.h"
#include "device/cpu/layer_error.h"
#include "device/cpu/loss.h"

namespace lockstep::device::cpu {

NetworkRunner::NetworkRunner(const NetworkPlan& plan)
    : plan_(plan), arena_(static_cast<std::size_t>(plan.runner_bytes())) {
  std::memset(arena_.data(), 0, arena_.size());
  std::vector<dnnl::memory> activations;
  for (const auto& tensor : plan.activations()) activations.push_back(bind(tensor));
  std::vector<dnnl::memory> gradients;
  for (const auto& tensor : plan.gradients()) gradients.push_back(bind(tensor));

  for (std::size_t index = 0; index < plan.stages().size(); ++index) {
    const NetworkPlan::Stage& stage = plan.stages()[index];
    const Contract& contract = stage.block->contract();
    Bindings bindings{.stream = dnnl::stream(plan.engine()),
                      .src = activations[index],
                      .dst = activations[index + 1],
                      .diff_src = gradients[index],
                      .diff_dst = gradients[index + 1],
                      .buffers = {}};
    for (std::size_t buffer = 0; buffer < stage.buffers.size(); ++buffer)
      bindings.buffers.push_back(bind({contract.buffers[buffer].desc, stage.buffers[buffer]}));
    stages_.push_back(
        with_layer(*stage.node, plan.samples(), [&] { return stage.block->make_runner(bindings); }));
  }
  outputs_ = activations.back();
  output_gradient_ = gradients.back();
}

dnnl::memory NetworkRunner::bind(const NetworkPlan::Tensor& tensor) {
  if (tensor.desc.is_zero()) return {};
  if (tensor.place == NetworkPlan::images) {
    images_.emplace_back(tensor.desc, plan_.engine(), nullptr);
    return images_.back();
  }
  return {tensor.desc, plan_.engine(), arena_.data() + plan_.arena().offset(tensor.place)};
}

Totals NetworkRunner::train(const ShardInput& input, std::span<float> gradient) {
  check(plan_.mode() == Mode::training, "only a plan for training can train");
  check(std::ssize(gradient) == plan_.network().parameters.slab_size(), "the gradient is a whole slab");
  const Pass pass{.training = true,
                  .rows = input.rows,
                  .epoch = input.epoch,
                  .gradient = gradient.data(),
                  .kept = input.kept};
  Stopwatch watch(input.times != nullptr);
  forward(input, pass, watch);
  const std::size_t outputs =
      output_gradient_ ? static_cast<std::size_t>(plan_.samples() * plan_.network().classes) : 0;
  const Totals totals =
      loss(input, outputs == 0 ? std::span<float>() : std::span(floats(output_gradient_), outputs));
  if (input.times != nullptr) watch.lap(input.times->loss);
  backward(pass, input.times, watch);
  for (const Range& gap : plan_.gaps())
    std::fill(gradient.begin() + gap.begin, gradient.begin() + gap.end, 0.0F);
  return totals;
}

Totals NetworkRunner::evaluate(const ShardInput& input) {
  Stopwatch watch(input.times != nullptr);
  forward(input, Pass(), watch);
  return loss(input, {});
}

void NetworkRunner::forward(const ShardInput& input, const Pass& pass, Stopwatch& watch) {
  check(input.images != nullptr && input.labels != nullptr, "a shard has images and labels");
  prepare_cpu_thread();
  for (dnnl::memory& view : images_) set_source(view, input.images);
  for (std::size_t index = 0; index < stages_.size(); ++index) {
    with_layer(*plan_.stages()[index].node, plan_.samples(), [&] { stages_[index]->forward(pass); });
    if (PassTimes::Node* times = times_of(index, input.times)) watch.lap(times->forward);
  }
}

void NetworkRunner::backward(const Pass& pass, PassTimes* times, Stopwatch& watch) {
  for (std::size_t index = stages_.size(); index-- > plan_.backward_end();) {
    with_layer(*plan_.stages()[index].node, plan_.samples(), [&] { stages_[index]->backward(pass); });
    if (PassTimes::Node* node = times_of(index, times)) watch.lap(node->backward);
  }
}

PassTimes::Node* NetworkRunner::times_of(std::size_t stage, PassTimes* times) const {
  if (times == nullptr) return nullptr;
  const auto node = plan_.stages()[stage].node - plan_.network().nodes.data();
  return &times->nodes[static_cast<std::size_t>(node)];
}

Totals NetworkRunner::loss(const ShardInput& input, std::span<float> output_gradient) const {
  const Network& network = plan_.network();
  const std::span<const float> outputs(floats(outputs_),
                                       static_cast<std::size_t>(plan_.samples() * network.classes));
  return loss_of(network.loss, outputs, {input.labels, static_cast<std::size_t>(plan_.samples())},
                 output_gradient);
}

}  // namespace lockstep::device::cpu
