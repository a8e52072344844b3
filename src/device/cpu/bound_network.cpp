#include "device/cpu/bound_network.h"

#include <algorithm>

#include "device/cpu/layer_error.h"
#include "device/cpu/loss.h"

namespace lockstep::device::cpu {

AlignedBuffer<std::byte> BoundNetwork::make_arena(const NetworkPlan& plan) {
  AlignedBuffer<std::byte> arena(static_cast<std::size_t>(plan.arena().bytes()));
  std::ranges::fill(arena.span(), std::byte{0});
  return arena;
}

BoundNetwork::BoundNetwork(const NetworkPlan& plan, std::span<std::byte> arena, std::span<std::byte> scratch)
    : plan_(plan), arena_(arena), scratch_(scratch) {
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
      bindings.buffers.push_back(bind({.desc = contract.buffers[buffer].desc,
                                       .place = stage.buffers[buffer],
                                       .is_scratch = is_scratch(contract.buffers[buffer].life)}));
    stages_.push_back(
        with_layer(*stage.node, plan.samples(), [&] { return stage.block->make_runner(bindings); }));
  }
  outputs_ = activations.back();
  output_gradient_ = gradients.back();
}

dnnl::memory BoundNetwork::bind(const NetworkPlan::Tensor& tensor) {
  if (tensor.desc.is_zero()) return {};
  if (tensor.place == NetworkPlan::images) {
    images_.emplace_back(tensor.desc, plan_.engine(), nullptr);
    return images_.back();
  }
  const Arena& layout = tensor.is_scratch ? plan_.scratch() : plan_.arena();
  return {tensor.desc, plan_.engine(),
          (tensor.is_scratch ? scratch_ : arena_).data() + layout.offset(tensor.place)};
}

void BoundNetwork::set_images(const float* images) {
  for (dnnl::memory& view : images_) set_source(view, images);
}

Totals BoundNetwork::loss(const std::int32_t* labels, bool has_backward) const {
  const Network& network = plan_.network();
  const auto samples = static_cast<std::size_t>(plan_.samples());
  const std::size_t outputs = samples * static_cast<std::size_t>(network.classes);
  const bool has_gradient = has_backward && output_gradient_;
  return loss_of(network.loss, {floats(outputs_), outputs}, {labels, samples},
                 has_gradient ? std::span(floats(output_gradient_), outputs) : std::span<float>());
}

}  // namespace lockstep::device::cpu
