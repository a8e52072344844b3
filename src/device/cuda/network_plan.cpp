#include "device/cuda/network_plan.h"

#include <algorithm>

#include "base/check.h"
#include "device/cuda/layer_error.h"
#include "device/cuda/network_runner.h"

namespace lockstep::device::cuda {
namespace {

/// Of all that lies in the arena: as cudaMalloc aligns, which suits every kernel of the libraries.
constexpr std::int64_t alignment = 256;

template <class Wanted>
bool has(const Network& network) {
  return std::ranges::any_of(network.nodes,
                             [](const Node& node) { return std::holds_alternative<Wanted>(node.op); });
}

/// Null where the node is something else.
const Pool2dOp* max_pool_of(const Node& node) {
  return is_max_pool(node.op) ? &std::get<Pool2dOp>(node.op) : nullptr;
}

}  // namespace

std::unique_ptr<DevicePlan> make_network_plan(Accelerator& accelerator, Precision precision,
                                              const Network& network, std::int64_t samples, Mode mode,
                                              const std::string& choices) {
  return std::make_unique<NetworkPlan>(accelerator, precision, network, samples, mode, choices);
}

NetworkPlan::NetworkPlan(Accelerator& accelerator, Precision precision, const Network& network,
                         std::int64_t samples, Mode mode, const std::string& choices)
    : accelerator_(accelerator),
      network_(network),
      samples_(samples),
      mode_(mode),
      needs_cudnn_(has<Conv2dOp>(network)),
      needs_cublas_(has<DenseOp>(network)),
      choices_(choices),
      arena_(alignment) {
  check(samples >= 1, "a shard has samples");
  check_chain(network);
  add_stages(precision);
  choices_.finish();
  place_activations();
  place_gradients();
  place_buffers();
  arena_.lay_out();
  find_gaps();
}

void NetworkPlan::add_stages(Precision precision) {
  use_device(accelerator_.facts().index);
  const CudnnHandle cudnn = needs_cudnn_ ? make_cudnn() : CudnnHandle();
  const auto& nodes = network_.nodes;
  bool below = false;  // an earlier node has parameters
  bool relu_handed_on = false;
  for (std::size_t index = 0; index < nodes.size();) {
    const Node& node = nodes[index];
    const bool relu_follows = index + 1 < nodes.size() && is_relu(nodes[index + 1].op);
    const Site site{
        .network = network_,
        .node = node,
        .samples = samples_,
        .mode = mode_,
        .precision = precision,
        .cudnn = cudnn.get(),
        .choices = choices_,
        .is_lowest = !below,
        .backward = mode_ == Mode::training && (below || has_parameters(node.op)),
        .data_gradient = mode_ == Mode::training && below,
        .relu_follows = relu_follows,
        .pool = relu_follows && index + 2 < nodes.size() ? max_pool_of(nodes[index + 2]) : nullptr,
        .masks_relu = relu_handed_on};
    Stage stage{.layer = nullptr, .node = &node, .buffers = {}};
    with_layer(node, samples_, [&] {
      stage.layer = std::visit([&](const auto& op) { return make_layer(op, site); }, node.op);
    });
    stages_.push_back(std::move(stage));
    const std::size_t covered = stages_.back().layer->contract().implementations.size();
    relu_handed_on = covered == 2 && site.pool != nullptr;
    below = below || has_parameters(node.op);
    index += covered;
  }
}

// Times of a pass of S stages: stage s runs forward at s and backward at 2 S - s, the loss at S.
int NetworkPlan::forward_time(std::size_t stage) {
  return static_cast<int>(stage);
}
int NetworkPlan::backward_time(std::size_t stage) const {
  return static_cast<int>(2 * stages_.size() - stage);
}

std::int64_t NetworkPlan::edge_bytes(std::size_t stage) const {
  const std::int64_t count = stage < stages_.size() ? stages_[stage].node->in.count() : network_.classes;
  return samples_ * count * static_cast<std::int64_t>(sizeof(float));
}

void NetworkPlan::extend(int place, int time) {
  if (place != images) arena_.extend(place, time);
}

void NetworkPlan::place_activations() {
  activations_.push_back(images);
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    const Contract& contract = stages_[stage].layer->contract();
    const int src = activations_[stage];
    const int read = forward_time(stage + 1);  // by the next stage, or the loss
    int dst = src;
    if (contract.dst_is_src)
      extend(src, read);
    else
      dst = arena_.reserve(edge_bytes(stage + 1), forward_time(stage), read);
    activations_.push_back(dst);
    if (!contract.runs_backward()) continue;
    if (contract.backward_reads_src) extend(src, backward_time(stage));
    if (contract.backward_reads_dst) extend(dst, backward_time(stage));
  }
  const int loss = forward_time(stages_.size());
  sample_losses_ = arena_.reserve(samples_ * static_cast<std::int64_t>(sizeof(double)), loss, loss);
  sample_correct_ = arena_.reserve(samples_ * static_cast<std::int64_t>(sizeof(std::int32_t)), loss, loss);
}

void NetworkPlan::place_gradients() {
  gradients_.assign(stages_.size() + 1, nowhere);
  backward_end_ = stages_.size();
  while (backward_end_ > 0 && stages_[backward_end_ - 1].layer->contract().runs_backward()) --backward_end_;
  if (backward_end_ == stages_.size()) return;
  gradients_.back() = arena_.reserve(edge_bytes(stages_.size()), forward_time(stages_.size()),
                                     backward_time(stages_.size() - 1));
  for (std::size_t stage = stages_.size() - 1; stage > backward_end_; --stage) {
    const int diff_dst = gradients_[stage + 1];
    const int read = backward_time(stage - 1);
    int diff_src = diff_dst;
    if (stages_[stage].layer->contract().diff_src_is_diff_dst)
      extend(diff_dst, read);
    else
      diff_src = arena_.reserve(edge_bytes(stage), backward_time(stage), read);
    gradients_[stage] = diff_src;
  }
}

void NetworkPlan::place_buffers() {
  for (std::size_t index = 0; index < stages_.size(); ++index) {
    Stage& stage = stages_[index];
    for (const auto& buffer : stage.layer->contract().buffers) {
      const int first = buffer.life == Life::backward ? backward_time(index) : forward_time(index);
      const int last = buffer.life == Life::forward ? forward_time(index) : backward_time(index);
      stage.buffers.push_back(arena_.reserve(buffer.bytes, first, last));
    }
  }
}

void NetworkPlan::find_gaps() {
  std::vector<int> written;
  for (const Stage& stage : stages_) {
    const auto& gradients = stage.layer->contract().gradients;
    written.insert(written.end(), gradients.begin(), gradients.end());
  }
  gaps_ = gaps_between(network_.parameters, written);
}

std::int64_t NetworkPlan::finished_by(std::size_t stage) const {
  std::int64_t end = network_.parameters.slab_size();
  for (std::size_t later = backward_end_; later < stage; ++later)
    for (const int index : stages_[later].layer->contract().gradients)
      end = std::min(end, network_.parameters[index].offset);
  return end;
}

std::unique_ptr<DeviceRunner> NetworkPlan::make_runner(std::shared_ptr<DeviceLane> lane) {
  return std::make_unique<NetworkRunner>(*this, lane_or_new(std::move(lane), accelerator_));
}

std::int64_t NetworkPlan::runner_bytes() const {
  return arena_.bytes() + Libraries::workspace_bytes(accelerator_.facts(), needs_cublas_);
}

std::vector<std::string> NetworkPlan::implementations() const {
  std::vector<std::string> names;
  for (const Stage& stage : stages_) {
    const auto& own = stage.layer->contract().implementations;
    names.insert(names.end(), own.begin(), own.end());
  }
  return names;
}

}  // namespace lockstep::device::cuda
