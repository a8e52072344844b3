#include "device/cpu/fused/choice.h"

namespace lockstep::device::cpu::fused {
namespace {

bool is_pool_of_tiles(const Op& op) {
  const auto* pool = std::get_if<Pool2dOp>(&op);
  return pool != nullptr && pool->kind == Pool2dOp::Kind::max && pool->size_height == 2 &&
         pool->size_width == 2 && pool->stride_height == 2 && pool->stride_width == 2 && pool->pad_top == 0 &&
         pool->pad_bottom == 0 && pool->pad_left == 0 && pool->pad_right == 0;
}

/// Whether the nodes' outputs are asked for in C, H, W order: by the loss, a flattening, a dropout, before
/// any layer that prefers channels-last.
bool wants_plain(std::span<const Node> nodes) {
  for (const Node& node : nodes) {
    if (std::holds_alternative<Conv2dOp>(node.op) || std::holds_alternative<Pool2dOp>(node.op)) return false;
    if (!std::holds_alternative<ActivationOp>(node.op)) return true;
  }
  return true;
}

bool fits(const Conv2dOp& op) {
  return op.stride_height == 1 && op.stride_width == 1 && op.kernel_height == op.kernel_width &&
         (op.kernel_height == 3 || op.kernel_height == 5);
}

/// Fused multiply-adds are in all instruction sets from AVX2 on. Ranks agree on one for oneDNN, so they agree
/// here too.
bool processor_suits() {
  constexpr unsigned needed = dnnl_cpu_isa_avx2;
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & needed) == needed;
}

}  // namespace

Pattern match(const Site& site) {
  Pattern pattern;
  auto following = site.following;
  if (site.relu_follows) {
    pattern.relu = true;
    if (!following.empty()) following = following.subspan(1);
  }
  if (!following.empty() && is_pool_of_tiles(following.front().op)) {
    pattern.pool = true;
    following = following.subspan(1);
  }
  pattern.plain_dst = wants_plain(following);
  return pattern;
}

ConvolutionMethod choose(const Conv2dOp& op, const Site& site) {
  if (!fits(op) || site.convolutions == ConvolutionMethod::onednn) return ConvolutionMethod::onednn;
  // The direct kernels compute no data gradient.
  const bool can_be_direct = !site.parameters_below;
  if (site.convolutions == ConvolutionMethod::winograd) return ConvolutionMethod::winograd;
  if (site.convolutions == ConvolutionMethod::direct)
    return can_be_direct ? ConvolutionMethod::direct : ConvolutionMethod::onednn;
  // Below this there are too few products for each number that is transformed, or lanes without a channel.
  constexpr std::int64_t enough_channels = 8;
  if (!processor_suits() || op.out_channels < enough_channels) return ConvolutionMethod::onednn;
  if (op.in_channels >= enough_channels) return ConvolutionMethod::winograd;
  // The pool is what makes the direct kernels faster than oneDNN's, if there are taps to make up for the
  // rest.
  const bool direct = can_be_direct && match(site).pool && op.kernel_height == 5;
  return direct ? ConvolutionMethod::direct : ConvolutionMethod::onednn;
}

}  // namespace lockstep::device::cpu::fused
