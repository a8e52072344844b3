#include "device/cpu/bound_network.h"

#include <cstring>

#include "device/cpu/layer_error.h"
#include "device/cpu/loss.h"

namespace lockstep::device::cpu {

BoundNetwork::BoundNetwork(const NetworkPlan& plan, std::span<std::byte> scratch)
    : plan_(plan), arena_(static_cast<std::size_t>(plan.arena().bytes())) {
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
      bindings.buffers.push_back(bind(contract.buffers[buffer], stage.buffers[buffer], scratch));
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
  return {tensor.desc, plan_.engine(), arena_.data() + plan_.arena().offset(tensor.place)};
}

dnnl::memory BoundNetwork::bind(const Contract::Buffer& buffer, int place, std::span<std::byte> scratch) {
  if (!is_scratch(buffer.life)) return bind({buffer.desc, place});
  return {buffer.desc, plan_.engine(), scratch.data() + plan_.scratch().offset(place)};
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
