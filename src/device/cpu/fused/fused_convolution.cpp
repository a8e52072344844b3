#include "device/cpu/fused/fused_convolution.h"

#include <fmt/core.h>

#include <optional>

#include "device/cpu/fused/choice.h"
#include "device/cpu/fused/kernels.h"
#include "device/cpu/weighted.h"

namespace lockstep::device::cpu::fused {
namespace {

Problem problem_of(const Conv2dOp& op, const Site& site, const Pattern& pattern) {
  return {.samples = site.samples,
          .in_channels = op.in_channels,
          .in_height = op.in_height,
          .in_width = op.in_width,
          .out_channels = op.out_channels,
          .out_height = op.out_height,
          .out_width = op.out_width,
          .kernel = op.kernel_height,
          .pad_top = op.pad_top,
          .pad_left = op.pad_left,
          .relu = pattern.relu,
          .pool = pattern.pool,
          .plain_dst = pattern.plain_dst};
}

/// The memory that a runner hands to the kernels.
struct Memory {
  float *y = nullptr, *dx = nullptr;
  const float* dy = nullptr;
  std::uint8_t* record = nullptr;
  float *forward_workspace = nullptr, *backward_workspace = nullptr;
};

template <class T>
T* data_of(const dnnl::memory& memory) {
  return memory ? static_cast<T*>(memory.get_data_handle()) : nullptr;
}

class FusedConvolution final : public Block {
 public:
  FusedConvolution(const Conv2dOp& op, const Site& site, ConvolutionMethod method);

  [[nodiscard]] Packing packing() const override {
    return {.floats = layout_.packed, .pieces = layout_.packing_pieces};
  }
  void pack(std::span<const float> weights, std::int64_t piece, float* packed) const override {
    method_.pack(problem_, layout_, piece, weights.data() + weight_.offset, packed);
  }
  [[nodiscard]] Range packing_source(std::int64_t /*piece*/) const override {
    return {weight_.offset, weight_.offset + weight_.count};
  }
  void load(std::span<const float> weights, const float* packed) override {
    packed_ = packed;
    loaded_bias_ = bias_ ? weights.data() + bias_->offset : nullptr;
  }

  [[nodiscard]] std::unique_ptr<BlockRunner> make_runner(const Bindings& bindings) const override;

  void run_forward(const dnnl::memory& src, const Memory& memory) const {
    // The caller's images lie elsewhere in each run.
    method_.forward(problem_, layout_,
                    {.x = floats(src),
                     .packed = packed_,
                     .bias = loaded_bias_,
                     .y = memory.y,
                     .record = memory.record,
                     .workspace = memory.forward_workspace});
  }

  void run_backward(const dnnl::memory& src, const Memory& memory, float* gradient) const {
    method_.backward(problem_, layout_,
                     {.x = floats(src),
                      .dy = memory.dy,
                      .record = memory.record,
                      .packed = packed_,
                      .dweight = gradient + weight_.offset,
                      .dbias = bias_ ? gradient + bias_->offset : nullptr,
                      .dx = memory.dx,
                      .workspace = memory.backward_workspace});
  }

 private:
  Parameter weight_;
  std::optional<Parameter> bias_;
  Problem problem_;
  Method method_;
  bool data_gradient_;
  Layout layout_;
  const float* packed_ = nullptr;
  const float* loaded_bias_ = nullptr;  ///< in the slab
  int record_ = -1, forward_workspace_ = -1, backward_workspace_ = -1;
};

class Runner final : public BlockRunner {
 public:
  Runner(const FusedConvolution& block, dnnl::memory src, const Memory& memory)
      : block_(block), src_(std::move(src)), memory_(memory) {}
  void forward(const Pass& /*pass*/) override { block_.run_forward(src_, memory_); }
  void backward(const Pass& pass) override { block_.run_backward(src_, memory_, pass.gradient); }

 private:
  const FusedConvolution& block_;
  dnnl::memory src_;
  Memory memory_;
};

Method method_of(ConvolutionMethod method, const Conv2dOp& op, bool pool) {
  if (method == ConvolutionMethod::direct) return kernels().direct(op.kernel_height);
  return kernels().winograd(winograd_tile(op, pool), op.kernel_height);
}

/// Without the instruction set: it does not show in the result, so ranks may differ in it.
std::string name_of(ConvolutionMethod method, const Conv2dOp& op, bool pool) {
  if (method == ConvolutionMethod::direct) return fmt::format("lockstep:direct_{0}x{0}", op.kernel_height);
  return fmt::format("lockstep:winograd_{0}x{0}_{1}x{1}", winograd_tile(op, pool), op.kernel_height);
}

FusedConvolution::FusedConvolution(const Conv2dOp& op, const Site& site, ConvolutionMethod method)
    : weight_(site.parameter(op.weight)),
      bias_(bias_of(op.bias, site)),
      problem_(problem_of(op, site, match(site))),
      method_(method_of(method, op, problem_.pool)),
      data_gradient_(site.data_gradient) {
  // With one channel both layouts are the same bytes.
  const Dims src{site.samples, op.in_channels, op.in_height, op.in_width};
  problem_.plain_src =
      op.in_channels == 1 || (method == ConvolutionMethod::direct && site.offered == plain(src));
  layout_ = method_.layout(problem_, data_gradient_);

  const Dims dst{site.samples, op.out_channels, problem_.dst_height(), problem_.dst_width()};
  contract_.src = problem_.plain_src ? plain(src) : channels_last(src);
  contract_.dst = contract_.diff_dst = problem_.plain_dst ? plain(dst) : channels_last(dst);
  forward_workspace_ = contract_.add_buffer(plain(Dims{layout_.forward_workspace}), Life::forward);
  if (site.backward) {
    contract_.gradients.push_back(op.weight);
    if (bias_) contract_.gradients.push_back(op.bias);
    contract_.backward_reads_src = true;
    if (data_gradient_) contract_.diff_src = contract_.src;
    if (problem_.keeps_record()) record_ = contract_.add_buffer(bytes(layout_.record), Life::whole);
    backward_workspace_ = contract_.add_buffer(plain(Dims{layout_.backward_workspace}), Life::backward);
  }
  contract_.implementations.push_back(name_of(method, op, problem_.pool));
  if (problem_.relu) contract_.implementations.emplace_back("fused");
  if (problem_.pool) contract_.implementations.emplace_back("fused");
}

std::unique_ptr<BlockRunner> FusedConvolution::make_runner(const Bindings& bindings) const {
  const Memory memory{.y = data_of<float>(bindings.dst),
                      .dx = data_of<float>(bindings.diff_src),
                      .dy = data_of<float>(bindings.diff_dst),
                      .record = data_of<std::uint8_t>(bindings.buffer(record_)),
                      .forward_workspace = data_of<float>(bindings.buffer(forward_workspace_)),
                      .backward_workspace = data_of<float>(bindings.buffer(backward_workspace_))};
  return std::make_unique<Runner>(*this, bindings.src, memory);
}

}  // namespace

std::unique_ptr<Block> make_fused_convolution(const Conv2dOp& op, const Site& site) {
  const ConvolutionMethod method = choose(op, site);
  if (method == ConvolutionMethod::onednn) return nullptr;
  return std::make_unique<FusedConvolution>(op, site, method);
}

}  // namespace lockstep::device::cpu::fused
