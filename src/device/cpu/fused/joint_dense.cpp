#include "device/cpu/fused/joint_dense.h"

#include <algorithm>
#include <bit>
#include <ranges>
#include <variant>

#include "base/check.h"
#include "device/cpu/fused/dense_block.h"

namespace lockstep::device::cpu::fused {
namespace {

DenseExtents extents_of(const Op& op) {
  const auto& dense = std::get<DenseOp>(op);
  return {.in = dense.in, .out = dense.out};
}

class Joint final : public JointGradients {
 public:
  explicit Joint(std::vector<JointDense> layers) : layers_(std::move(layers)) {
    for (const JointDense& layer : layers_) {
      ranges_.push_back(layer.range());
      pieces_ += layer.pieces();
    }
    std::ranges::sort(ranges_, {}, &Range::begin);  // in a slab the last layer comes first
  }

  [[nodiscard]] std::span<const Range> ranges() const override { return ranges_; }
  [[nodiscard]] std::int64_t kept_floats(std::int64_t samples) const override {
    return (layers_.back().before() + layers_.back().own()) * samples;
  }
  [[nodiscard]] std::int64_t pieces() const override { return pieces_; }
  void add_up(std::int64_t piece, std::span<const KeptShard> shards, float* slab) const override {
    check(std::has_single_bit(shards.size()), "the shards of a complete subtree are a power of two");
    check(shards.size() <= device::most_joint_shards, "so many shards can be added up at once");
    for (const JointDense& layer : std::views::reverse(layers_)) {  // as in the slab
      if (piece < layer.pieces()) return layer.add_up(piece, shards, slab);
      piece -= layer.pieces();
    }
  }

 private:
  std::vector<JointDense> layers_;  // in the network's order
  std::vector<Range> ranges_;
  std::int64_t pieces_ = 0;
};

}  // namespace

bool is_joint(const DenseOp& op, ConvolutionMethod convolutions) {
  constexpr std::int64_t fewest_weights = std::int64_t{64} * 1024;
  return has_own_dense(convolutions) && op.in * op.out >= fewest_weights;
}

JointDense::JointDense(const Network& network, const Node& node, ConvolutionMethod convolutions)
    : kernel_(kernels().dense_gradient),
      extents_(extents_of(node.op)),
      is_joint_(fused::is_joint(std::get<DenseOp>(node.op), convolutions)) {
  const Parameter& weight = network.parameters[std::get<DenseOp>(node.op).weight];
  range_ = {weight.offset, weight.offset + extents_.in * extents_.out};
  for (const Node& earlier : network.nodes) {
    if (&earlier == &node) break;
    const auto* dense = std::get_if<DenseOp>(&earlier.op);
    if (dense != nullptr && fused::is_joint(*dense, convolutions))
      before_ += kernel_.kept_floats(extents_of(earlier.op));
  }
}

void JointDense::compute(std::int64_t samples, const float* x, const float* dy, float* kept,
                         float* slab) const {
  kernel_.keep(extents_, samples, x, dy, kept);
  const KeptShard shard{.data = kept, .samples = samples};
  for (std::int64_t piece = 0; piece < pieces(); ++piece)
    kernel_.add_up(extents_, 0, piece, {&shard, 1}, slab + range_.begin);
}

std::unique_ptr<JointGradients> make_joint_gradients(const Network& network, ConvolutionMethod convolutions) {
  std::vector<JointDense> layers;
  for (const Node& node : network.nodes) {
    const auto* dense = std::get_if<DenseOp>(&node.op);
    if (dense != nullptr && is_joint(*dense, convolutions)) layers.emplace_back(network, node, convolutions);
  }
  if (layers.empty()) return nullptr;
  return std::make_unique<Joint>(std::move(layers));
}

}  // namespace lockstep::device::cpu::fused
