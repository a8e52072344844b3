#include "device/cpu/fused/choice.h"

#include <algorithm>

namespace lockstep::device::cpu::fused {
namespace {

bool is_pool_of_windows(const Op& op) {
  const auto* pool = std::get_if<Pool2dOp>(&op);
  return pool != nullptr && pool->kind == Pool2dOp::Kind::max && pool->size_height == 2 &&
         pool->size_width == 2 && pool->stride_height == 2 && pool->stride_width == 2 && pool->pad_top == 0 &&
         pool->pad_bottom == 0 && pool->pad_left == 0 && pool->pad_right == 0;
}

/// Products of an input channel with an output channel, for a sample, that the Winograd kernels do.
std::int64_t winograd_products(const Conv2dOp& op, bool pool, std::int64_t tile) {
  const std::int64_t patch = tile + op.kernel_height - 1;
  const auto tiles = [&](std::int64_t extent) {
    const std::int64_t covered = pool ? extent / 2 * 2 : extent;  // a pool leaves out an odd last row
    return (covered + tile - 1) / tile;
  };
  return tiles(op.out_height) * tiles(op.out_width) * patch * patch;
}

/// Taps that meet an input and not the padding, over all outputs of a row or column.
std::int64_t useful_taps(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t pad) {
  std::int64_t taps = 0;
  for (std::int64_t first = -pad; first < out - pad; ++first)
    taps += std::max<std::int64_t>(std::min(first + kernel, in) - std::max<std::int64_t>(first, 0), 0);
  return taps;
}

/// The same products by the definition, those with the padding left out, as oneDNN does.
std::int64_t useful_products(const Conv2dOp& op) {
  return useful_taps(op.in_height, op.out_height, op.kernel_height, op.pad_top) *
         useful_taps(op.in_width, op.out_width, op.kernel_width, op.pad_left);
}

/// With more transformed weights, writing them in each step takes as long as a shard's products where images
/// are small.
bool weights_fit(const Conv2dOp& op, std::int64_t tile) {
  constexpr std::int64_t most_weights = std::int64_t{5} << 20;  // floats
  const std::int64_t patch = tile + op.kernel_height - 1;
  return patch * patch * op.in_channels * op.out_channels <= most_weights;
}

bool suits_winograd(const Conv2dOp& op, bool pool) {
  const std::int64_t tile = winograd_tile(op, pool);
  // With fewer inputs there are too few products for each number that is transformed.
  const std::int64_t fewest_inputs = tile == 4 && (pool || op.kernel_height == 5) ? 3 : 4;
  return op.in_channels >= fewest_inputs && weights_fit(op, tile) &&
         winograd_products(op, pool, tile) < useful_products(op);
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

}  // namespace

bool processor_suits() {
  constexpr unsigned needed = dnnl_cpu_isa_avx2;
  return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & needed) == needed;
}

Pattern match(const Site& site) {
  Pattern pattern;
  auto following = site.following;
  if (site.relu_follows) {
    pattern.relu = true;
    if (!following.empty()) following = following.subspan(1);
  }
  if (!following.empty() && is_pool_of_windows(following.front().op)) {
    pattern.pool = true;
    following = following.subspan(1);
  }
  pattern.plain_dst = wants_plain(following);
  return pattern;
}

std::int64_t winograd_tile(const Conv2dOp& op, bool pool) {
  return winograd_products(op, pool, 4) < winograd_products(op, pool, 2) && weights_fit(op, 4) ? 4 : 2;
}

ConvolutionMethod choose(const Conv2dOp& op, const Site& site) {
  if (!fits(op) || site.convolutions == ConvolutionMethod::onednn) return ConvolutionMethod::onednn;
  // The direct kernels compute no data gradient.
  const bool can_be_direct = !site.parameters_below;
  if (site.convolutions == ConvolutionMethod::winograd) return ConvolutionMethod::winograd;
  if (site.convolutions == ConvolutionMethod::direct)
    return can_be_direct ? ConvolutionMethod::direct : ConvolutionMethod::onednn;
  // With fewer outputs, lanes are without a channel.
  constexpr std::int64_t enough_outputs = 8;
  if (!processor_suits() || op.out_channels < enough_outputs) return ConvolutionMethod::onednn;
  const bool pool = match(site).pool;
  if (suits_winograd(op, pool)) return ConvolutionMethod::winograd;
  // The pool is what makes the direct kernels faster than oneDNN's, if there are taps to make up for the
  // rest.
  const bool enough_taps = op.kernel_height == 5 ? op.in_channels <= 3 : op.in_channels == 1;
  const bool direct = can_be_direct && pool && enough_taps;
  return direct ? ConvolutionMethod::direct : ConvolutionMethod::onednn;
}

}  // namespace lockstep::device::cpu::fused
