#include "device/cpu/network_plan.h"

#include <algorithm>

#include "base/check.h"
#include "device/cpu/activation.h"
#include "device/cpu/convolution.h"
#include "device/cpu/dense.h"
#include "device/cpu/dropout.h"
#include "device/cpu/layer_error.h"
#include "device/cpu/layout_change.h"
#include "device/cpu/network_group_runner.h"
#include "device/cpu/network_runner.h"
#include "device/cpu/pooling.h"

namespace lockstep::device::cpu {
namespace {

std::unique_ptr<Block> make_block_for(const Site& site) {
  return std::visit([&](const auto& op) { return make_block(op, site); }, site.node.op);
}

}  // namespace

NetworkPlan::NetworkPlan(const dnnl::engine& engine, const Network& network, std::int64_t samples, Mode mode,
                         const CpuOptions& options)
    : engine_(engine), network_(network), samples_(samples), mode_(mode), options_(options) {
  check(samples >= 1, "a shard has samples");
  check_chain(network);
  add_nodes();
  find_turn();
  place_activations();
  place_gradients();
  place_buffers();
  place_packed_weights();
  arena_.lay_out();
  scratch_.lay_out();
  find_gaps();
}

void NetworkPlan::add_nodes() {
  const auto& nodes = network_.nodes;
  bool below = false;  // an earlier node has parameters
  bool relu_handed_on = false;
  for (std::size_t index = 0; index < nodes.size();) {
    const Node& node = nodes[index];
    const bool relu_follows = index + 1 < nodes.size() && is_relu(nodes[index + 1].op);
    const Site site{
        .engine = engine_,
        .network = network_,
        .node = node,
        .samples = samples_,
        .mode = mode_,
        .offered = offered(),
        .backward = mode_ == Mode::training && (below || has_parameters(node.op)),
        .data_gradient = mode_ == Mode::training && below,
        .following = std::span(nodes).subspan(index + 1),
        .parameters_below = below,
        .convolutions = options_.convolutions,
        .relu_follows = relu_follows,
        .pool_masks_relu = relu_follows && index + 2 < nodes.size() && is_max_pool(nodes[index + 2].op),
        .masks_relu = relu_handed_on};
    with_layer(node, samples_, [&] { append(make_block_for(site), node); });
    const std::size_t covered = stages_.back().block->contract().implementations.size();
    relu_handed_on = covered == 2 && site.pool_masks_relu;
    below = below || has_parameters(node.op);
    index += covered;
  }
  const Desc outputs = plain(Dims{samples_, network_.classes});
  if (offered() == outputs) return;
  const bool flows_back = stages_.back().block->contract().runs_backward();
  with_layer(nodes.back(), samples_,
             [&] { append_layout_change(outputs, flows_back ? outputs : Desc(), nodes.back()); });
}

Desc NetworkPlan::offered() const {
  if (!stages_.empty()) return stages_.back().block->contract().dst;
  Dims dims{samples_};
  dims.insert(dims.end(), network_.input.extents().begin(), network_.input.extents().end());
  return plain(dims);
}

void NetworkPlan::append(std::unique_ptr<Block> block, const Node& node) {
  const Contract& contract = block->contract();
  const bool flows_back = !contract.diff_src.is_zero();
  if (contract.src != offered() ||
      (flows_back && contract.diff_src != stages_.back().block->contract().diff_dst))
    append_layout_change(contract.src, contract.diff_src, node);
  stages_.push_back(
      {.block = std::move(block), .node = &node, .is_layout_change = false, .buffers = {}, .packed = 0});
}

void NetworkPlan::append_layout_change(const Desc& dst, const Desc& diff_dst, const Node& node) {
  const Desc diff_src = diff_dst.is_zero() ? Desc() : stages_.back().block->contract().diff_dst;
  auto change = make_layout_change(engine_, offered(), dst, diff_dst, diff_src);
  stages_.push_back(
      {.block = std::move(change), .node = &node, .is_layout_change = true, .buffers = {}, .packed = 0});
}

void NetworkPlan::find_turn() {
  const auto is_large = [](const Stage& stage) { return stage.block->contract().large_weights > 0; };
  turn_ = static_cast<std::size_t>(std::ranges::find_if(stages_, is_large) - stages_.begin());
}

// Times of a pass of S stages: stage s runs forward at s and backward at 2 S - s, the loss at S.
int NetworkPlan::forward_time(std::size_t stage) {
  return static_cast<int>(stage);
}
int NetworkPlan::backward_time(std::size_t stage) const {
  return static_cast<int>(2 * stages_.size() - stage);
}

int NetworkPlan::reserve(const Desc& desc, int first, int last) {
  return arena_.reserve(static_cast<std::int64_t>(desc.get_size()), first, last);
}

void NetworkPlan::extend(int place, int time) {
  if (place != images) arena_.extend(place, time);
}

void NetworkPlan::place_activations() {
  activations_.push_back({stages_.front().block->contract().src, images});
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    const Contract& contract = stages_[stage].block->contract();
    const int src = activations_[stage].place;
    const int read = forward_time(stage + 1);  // by the next stage, or the loss
    int dst = src;
    if (contract.dst_is_src)
      extend(src, read);
    else
      dst = reserve(contract.dst, forward_time(stage), read);
    activations_.push_back({contract.dst, dst});
    if (!contract.runs_backward()) continue;
    if (contract.backward_reads_src) extend(src, backward_time(stage));
    if (contract.backward_reads_dst) extend(dst, backward_time(stage));
  }
}

void NetworkPlan::place_gradients() {
  gradients_.resize(stages_.size() + 1);
  backward_end_ = stages_.size();
  while (backward_end_ > 0 && stages_[backward_end_ - 1].block->contract().runs_backward()) --backward_end_;
  if (backward_end_ == stages_.size()) return;
  const Desc& outputs = stages_.back().block->contract().diff_dst;
  gradients_.back() = {outputs,
                       reserve(outputs, forward_time(stages_.size()), backward_time(stages_.size() - 1))};
  for (std::size_t stage = stages_.size() - 1; stage > backward_end_; --stage) {
    const Contract& contract = stages_[stage].block->contract();
    const Tensor& above = gradients_[stage + 1];
    const int read = backward_time(stage - 1);
    Tensor& below = gradients_[stage];
    below = {.desc = contract.diff_src, .place = above.place, .is_scratch = above.is_scratch};
    if (contract.diff_src_is_diff_dst) {
      (above.is_scratch ? scratch_ : arena_).extend(above.place, read);
      continue;
    }
    // Below the turn a worker goes down to the end with a shard, and needs it no more before the next one.
    below.is_scratch = stage < turn_ && turn_ < stages_.size();
    below.place =
        (below.is_scratch ? scratch_ : arena_)
            .reserve(static_cast<std::int64_t>(contract.diff_src.get_size()), backward_time(stage), read);
  }
}

void NetworkPlan::place_buffers() {
  for (std::size_t index = 0; index < stages_.size(); ++index) {
    Stage& stage = stages_[index];
    for (const auto& buffer : stage.block->contract().buffers) {
      const int first = buffer.life == Life::backward ? backward_time(index) : forward_time(index);
      const int last = buffer.life == Life::forward ? forward_time(index) : backward_time(index);
      const auto size = static_cast<std::int64_t>(buffer.desc.get_size());
      stage.buffers.push_back((is_scratch(buffer.life) ? scratch_ : arena_).reserve(size, first, last));
    }
  }
}

void NetworkPlan::find_gaps() {
  std::vector<int> written;
  for (const Stage& stage : stages_) {
    const auto& gradients = stage.block->contract().gradients;
    written.insert(written.end(), gradients.begin(), gradients.end());
  }
  gaps_ = gaps_between(network_.parameters, written);
}

/// One block's behind the other's, each on a cache line.
void NetworkPlan::place_packed_weights() {
  constexpr std::int64_t line_floats = 16;
  for (Stage& stage : stages_) {
    const Packing own = stage.block->packing();
    stage.packed = packing_.floats;
    packing_.floats += (own.floats + line_floats - 1) / line_floats * line_floats;
    packing_.pieces += own.pieces;
  }
}

void NetworkPlan::check_slab(std::span<const float> weights) const {
  check(std::ssize(weights) == network_.parameters.slab_size(), "weights come as a whole slab");
}

/// Calls f with the stage that packs a piece, and the piece's number among those of this stage.
template <class F>
auto NetworkPlan::with_packing_stage(std::int64_t piece, F f) const {
  check(0 <= piece && piece < packing_.pieces, "weights are packed in so many pieces");
  auto stage = stages_.begin();
  for (; piece >= stage->block->packing().pieces; ++stage) piece -= stage->block->packing().pieces;
  return f(*stage, piece);
}

void NetworkPlan::pack(std::span<const float> weights, std::int64_t piece, float* packed) const {
  check_slab(weights);
  with_packing_stage(piece, [&](const Stage& stage, std::int64_t own_piece) {
    stage.block->pack(weights, own_piece, packed + stage.packed);
  });
}

Range NetworkPlan::packing_source(std::int64_t piece) const {
  return with_packing_stage(piece, [](const Stage& stage, std::int64_t own_piece) {
    return stage.block->packing_source(own_piece);
  });
}

void NetworkPlan::load_piece(std::span<const float> weights, std::int64_t piece, const float* packed) {
  prepare_cpu_thread();
  check_slab(weights);
  check(piece < load_pieces(), "each layer loads one piece");
  const Stage& stage = stages_[static_cast<std::size_t>(piece)];
  with_layer(*stage.node, samples_, [&] { stage.block->load(weights, packed + stage.packed); });
}

/// Bytes of weights that a group reads once.
std::int64_t NetworkPlan::large_weights() const {
  std::int64_t total = 0;
  for (const Stage& stage : stages_) total += stage.block->contract().large_weights;
  return total;
}

/// Weights that the second-level cache of no core holds.
bool NetworkPlan::gains_much_together() const {
  return large_weights() > std::int64_t{4} << 20;
}

/// More of them take at most as much memory for their activations as the weights that they read once. Where
/// these are not very large, shards must do other work by themselves below the turn, so that workers that
/// meet there find enough that can be done apart.
int NetworkPlan::most_together() const {
  if (mode_ == Mode::evaluation) return 1;
  if (!gains_much_together() && backward_end_ >= turn_) return 1;
  int together = 1;
  for (const Stage& stage : stages_) together = std::max(together, stage.block->contract().most_together);
  while (together > 1 && (together - 1) * arena_.bytes() > large_weights()) together /= 2;
  return together;
}

std::unique_ptr<ShardRunner> NetworkPlan::make_runner() {
  prepare_cpu_thread();
  return std::make_unique<NetworkRunner>(*this);
}

std::unique_ptr<GroupRunner> NetworkPlan::make_group_runner(int places, int workers) {
  check(mode_ == Mode::training, "groups are for training");
  prepare_cpu_thread();
  return std::make_unique<NetworkGroupRunner>(*this, places, workers);
}

std::int64_t NetworkPlan::shared_bytes() const {
  std::int64_t total = 0;
  for (const Stage& stage : stages_) total += stage.block->shared_bytes();
  return total;
}

std::vector<std::string> NetworkPlan::implementations() const {
  std::vector<std::string> names;
  for (const Stage& stage : stages_) {
    if (stage.is_layout_change) continue;
    const auto& own = stage.block->contract().implementations;
    names.insert(names.end(), own.begin(), own.end());
  }
  return names;
}

}  // namespace lockstep::device::cpu
