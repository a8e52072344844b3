#include "device/cpu/fused/dense_block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "device/cpu/elementwise.h"
#include "device/cpu/fused/choice.h"
#include "device/cpu/fused/joint_dense.h"
#include "device/cpu/fused/kernels.h"
#include "device/cpu/relu_mask.h"
#include "device/cpu/weighted.h"

namespace lockstep::device::cpu::fused {
namespace {

class Runner;

class DenseBlock final : public Block {
 public:
  DenseBlock(const DenseOp& op, const Site& site)
      : extents_{.in = op.in, .out = op.out},
        samples_(site.samples),
        weight_(site.parameter(op.weight)),
        bias_(bias_of(op.bias, site)),
        relu_(site.relu_follows),
        is_packed_(packs_dense(op.in, op.out)) {
    if (!is_packed_)
      forward_scratch_ =
          contract_.add_buffer(plain(Dims{kernels().dense_forward.workspace(extents_)}), Life::forward);
    if (has_large_weights(extents_.in, extents_.out)) {
      contract_.large_weights = extents_.in * extents_.out * std::int64_t{sizeof(float)};
      const auto fitting = static_cast<std::uint64_t>(std::max(dense_rows / samples_, std::int64_t{1}));
      contract_.most_together = static_cast<int>(std::min<std::uint64_t>(std::bit_floor(fitting), most_runs));
    }
    contract_.src = plain(Dims{samples_, extents_.in});
    contract_.dst = contract_.diff_dst = plain(Dims{samples_, extents_.out});
    if (site.backward) {
      masks_ = promise_weight_gradients(op.weight, op.bias, site, contract_);
      gradient_.emplace(site.network, site.node, site.convolutions);
      gradient_scratch_ = contract_.add_buffer(plain(Dims{gradient_->own() * samples_}), Life::backward);
    }
    if (site.data_gradient) contract_.diff_src = contract_.src;
    contract_.implementations =
        list_implementations(is_packed_ ? "lockstep:dense" : "lockstep:dense_dots", weights_way(),
                             site.data_gradient ? "lockstep:dense" : "", site);
  }

  [[nodiscard]] Packing packing() const override {
    if (!is_packed_) return {};
    const DenseProduct& product = kernels().dense_product;
    return {.floats = product.packed_floats(extents_), .pieces = product.packing_pieces(extents_)};
  }
  void pack(std::span<const float> weights, std::int64_t piece, float* packed) const override {
    kernels().dense_product.pack(extents_, piece, weights.data() + weight_.offset, packed);
  }
  [[nodiscard]] Range packing_source(std::int64_t piece) const override {
    const Range rows = kernels().dense_product.packed_rows(extents_, piece);
    return {weight_.offset + rows.begin * extents_.in, weight_.offset + rows.end * extents_.in};
  }
  void load(std::span<const float> weights, const float* packed) override {
    loaded_ = weights.data();
    packed_ = packed;
  }
  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override;

  void forward(std::span<const BlockRun> runs) const override;
  void backward(std::span<const BlockRun> runs) const override;
  /// A joint weight gradient is left to be computed for many shards at once where `pass` says so; else
  /// `scratch` is written.
  void weight_gradients(const Pass& pass, const float* x, const float* dy, float* scratch) const {
    if (bias_) sum_rows(dy, samples_, extents_.out, pass.gradient + bias_->offset);
    if (pass.kept != nullptr && gradient_->is_joint())
      gradient_->keep(samples_, x, dy, pass.kept);
    else
      gradient_->compute(samples_, x, dy, scratch, pass.gradient);
  }

 private:
  [[nodiscard]] std::string weights_way() const {
    if (!gradient_) return "";
    return gradient_->is_joint() ? "lockstep:shards_together" : "lockstep:dense";
  }

  DenseExtents extents_;
  std::int64_t samples_;
  Parameter weight_;
  std::optional<Parameter> bias_;
  bool relu_, is_packed_;
  const float* loaded_ = nullptr;       ///< the slab that was loaded last
  const float* packed_ = nullptr;       ///< its weights, if is_packed_
  std::optional<JointDense> gradient_;  ///< in training
  bool masks_ = false;                  ///< backward begins with the ReLU's
  int forward_scratch_ = -1, gradient_scratch_ = -1;
};

class Runner final : public BlockRunner {
 public:
  Runner(const DenseBlock& block, const Bindings& bindings, const ReluMask& mask, float* forward_scratch,
         float* gradient_scratch)
      : block_(block),
        src_(bindings.src),
        dst_(bindings.dst),
        diff_src_(bindings.diff_src),
        diff_dst_(bindings.diff_dst),
        forward_scratch_(forward_scratch),
        gradient_scratch_(gradient_scratch),
        mask_(mask) {}

  void forward(const Pass& pass) override { block_.forward(std::array{BlockRun{this, &pass}}); }
  void backward(const Pass& pass) override { block_.backward(std::array{BlockRun{this, &pass}}); }

  // The caller's images lie elsewhere in each run.
  [[nodiscard]] DenseShard outputs() const { return {.from = floats(src_), .to = floats(dst_)}; }
  [[nodiscard]] bool has_data_gradient() const { return static_cast<bool>(diff_src_); }
  [[nodiscard]] DenseShard data_gradient() const {
    return {.from = floats(diff_dst_), .to = floats(diff_src_)};
  }
  [[nodiscard]] float* forward_scratch() const { return forward_scratch_; }
  void weight_gradients(const Pass& pass) const {
    mask_.apply();
    block_.weight_gradients(pass, floats(src_), floats(diff_dst_), gradient_scratch_);
  }

 private:
  const DenseBlock& block_;
  dnnl::memory src_, dst_, diff_src_, diff_dst_;
  float *forward_scratch_, *gradient_scratch_;
  ReluMask mask_;
};

const Runner& runner_of(const BlockRun& run) {
  return static_cast<const Runner&>(*run.runner);
}

void DenseBlock::forward(std::span<const BlockRun> runs) const {
  std::array<DenseShard, most_runs> shards;
  for (std::size_t i = 0; i < runs.size(); ++i) shards[i] = runner_of(runs[i]).outputs();
  const DensePass pass{.shards = std::span(shards).first(runs.size()),
                       .weights = is_packed_ ? packed_ : loaded_ + weight_.offset,
                       .bias = bias_ ? loaded_ + bias_->offset : nullptr,
                       .relu = relu_,
                       .workspace = runner_of(runs.front()).forward_scratch()};
  if (is_packed_)
    kernels().dense_product.forward(extents_, samples_, pass);
  else
    kernels().dense_forward.compute(extents_, samples_, pass);
}

void DenseBlock::backward(std::span<const BlockRun> runs) const {
  for (const BlockRun& run : runs) runner_of(run).weight_gradients(*run.pass);
  if (!runner_of(runs.front()).has_data_gradient()) return;
  std::array<DenseShard, most_runs> shards;
  for (std::size_t i = 0; i < runs.size(); ++i) shards[i] = runner_of(runs[i]).data_gradient();
  kernels().dense_product.data_gradient(extents_, samples_, std::span(shards).first(runs.size()),
                                        loaded_ + weight_.offset);
}

std::unique_ptr<BlockRunner> DenseBlock::make_runner(const Bindings& bindings) const {
  const auto buffer = [&](int index) { return index < 0 ? nullptr : floats(bindings.buffer(index)); };
  return std::make_unique<Runner>(*this, bindings,
                                  masks_ ? ReluMask(bindings.dst, bindings.diff_dst) : ReluMask(),
                                  buffer(forward_scratch_), buffer(gradient_scratch_));
}

/// Whether the layer's inputs come from a ReLU, perhaps through a max-pool: then many are zero.
bool follows_relu(const Site& site) {
  const auto& nodes = site.network.nodes;
  for (auto index = &site.node - nodes.data(); index-- > 0;) {
    const Op& op = nodes[static_cast<std::size_t>(index)].op;
    if (is_relu(op)) return true;
    const bool keeps_zeros =
        is_max_pool(op) || std::holds_alternative<FlattenOp>(op) || std::holds_alternative<DropoutOp>(op);
    if (!keeps_zeros) return false;
  }
  return false;
}

}  // namespace

bool packs_dense(std::int64_t in, std::int64_t out) {
  constexpr std::int64_t fewest_outputs = 64;
  return out >= fewest_outputs && in * out <= most_copied;
}

bool has_large_weights(std::int64_t in, std::int64_t out) {
  return in * out > std::int64_t{1} << 18;
}

bool has_own_dense(ConvolutionMethod convolutions) {
  return convolutions != ConvolutionMethod::onednn && processor_suits();
}

std::unique_ptr<Block> make_dense_block(const DenseOp& op, const Site& site) {
  if (!has_own_dense(site.convolutions)) return nullptr;
  // Where own kernels would pack, so does oneDNN in evaluation, once for many samples, and has the layout
  // that it likes best: only zeros are worth more.
  if (site.mode == Mode::evaluation && packs_dense(op.in, op.out) && !follows_relu(site)) return nullptr;
  return std::make_unique<DenseBlock>(op, site);
}

}  // namespace lockstep::device::cpu::fused
