#include "device/cuda/network_runner.h"

#include <utility>

#include "base/check.h"
#include "device/cuda/clear_gaps.h"
#include "device/cuda/layer_error.h"
#include "device/cuda/loss.h"
#include "device/cuda/stream.h"

namespace lockstep::device::cuda {

NetworkRunner::NetworkRunner(const NetworkPlan& plan, std::shared_ptr<Lane> lane)
    : plan_(plan), lane_(std::move(lane)) {
  lane_->provide(
      {.arena_bytes = plan.arena().bytes(), .cudnn = plan.needs_cudnn(), .cublas = plan.needs_cublas()});
}

std::byte* NetworkRunner::at(int place) const {
  return place < 0 ? nullptr : lane_->arena() + plan_.arena().offset(place);
}

float* NetworkRunner::floats(int place) const {
  return reinterpret_cast<float*>(at(place));
}

void NetworkRunner::forward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                            DeviceSpan<Totals> totals) {
  forward(begin(stream, shard, weights, true, nullptr), totals);
}

void NetworkRunner::backward(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                             DeviceSpan<float> gradient, const Finished& finished) {
  check(gradient.count == plan_.network().parameters.slab_size(), "the gradient is a whole slab");
  const Pass pass = begin(stream, shard, weights, true, gradient.data);
  clear_gaps(pass.stream, plan_.gaps(), gradient.data);
  for (std::size_t stage = plan_.stages().size(); stage-- > plan_.backward_end();) {
    backward(pass, stage);
    if (finished) finished(plan_.finished_by(stage));
  }
  if (finished) finished(gradient.count);
}

void NetworkRunner::evaluate(Stream& stream, const DeviceShard& shard, DeviceSpan<const float> weights,
                             DeviceSpan<Totals> totals) {
  forward(begin(stream, shard, weights, false, nullptr), totals);
}

NetworkRunner::Pass NetworkRunner::begin(Stream& stream, const DeviceShard& shard,
                                         DeviceSpan<const float> weights, bool training, float* gradient) {
  const Network& network = plan_.network();
  check(
      shard.images.count == plan_.samples() * network.input.count() && shard.labels.count == plan_.samples(),
      "a shard has as many images and labels as its plan");
  check(weights.count == network.parameters.slab_size(), "weights come as a whole slab");
  if (training) {
    check(plan_.mode() == Mode::training, "only a plan for training can train");
    check(shard.rows.count == plan_.samples() && shard.epoch.count == 1,
          "dropout is given the identities of the samples and the epoch");
  }
  lane_->use(native(stream));
  if (buffers_.empty()) {  // from now on the lane's arena stays
    for (const NetworkPlan::Stage& stage : plan_.stages()) {
      auto& addresses = buffers_.emplace_back();
      for (const int place : stage.buffers) addresses.push_back(at(place));
    }
  }
  return {native(stream), shard, weights.data, training, gradient};
}

Run NetworkRunner::run_of(const Pass& pass, std::size_t stage) const {
  const int src = plan_.activations()[stage];
  return {.stream = pass.stream,
          .libraries = lane_->libraries(),
          .shard = pass.shard,
          .training = pass.training,
          .weights = pass.weights,
          .gradient = pass.gradient,
          .src = src == NetworkPlan::images ? pass.shard.images.data : floats(src),
          .dst = floats(plan_.activations()[stage + 1]),
          .diff_src = floats(plan_.gradients()[stage]),
          .diff_dst = floats(plan_.gradients()[stage + 1]),
          .buffers = buffers_[stage]};
}

void NetworkRunner::forward(const Pass& pass, DeviceSpan<Totals> totals) const {
  for (std::size_t stage = 0; stage < plan_.stages().size(); ++stage)
    with_layer(*plan_.stages()[stage].node, plan_.samples(),
               [&] { plan_.stages()[stage].layer->forward(run_of(pass, stage)); });
  loss(pass, totals);
}

void NetworkRunner::backward(const Pass& pass, std::size_t stage) const {
  with_layer(*plan_.stages()[stage].node, plan_.samples(),
             [&] { plan_.stages()[stage].layer->backward(run_of(pass, stage)); });
}

void NetworkRunner::loss(const Pass& pass, DeviceSpan<Totals> totals) const {
  check(totals.count == 1, "a shard has one sum of losses");
  const int outputs = plan_.activations().back();
  queue_loss(pass.stream,
             {.kind = plan_.network().loss,
              .samples = plan_.samples(),
              .classes = plan_.network().classes,
              .outputs = outputs == NetworkPlan::images ? pass.shard.images.data : floats(outputs),
              .labels = pass.shard.labels.data,
              .gradient = pass.training ? floats(plan_.gradients().back()) : nullptr,
              .sample_losses = reinterpret_cast<double*>(at(plan_.sample_losses())),
              .sample_correct = reinterpret_cast<std::int32_t*>(at(plan_.sample_correct()))},
             totals.data);
}

}  // namespace lockstep::device::cuda
