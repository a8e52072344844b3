#include "layers.h"

#include <fmt/core.h>

#include <cstdint>

#include "device/cpu/fused/choice.h"

namespace lockstep {
namespace {

constexpr std::int64_t samples = 16;  // a shard of a batch of 128

/// Named as "64@3x3_3x32x32_pool": filters and kernel, what they see, what follows.
Layer convolution(std::int64_t in, std::int64_t size, std::int64_t out, std::int64_t kernel, std::int64_t pad,
                  bool pool, bool lowest) {
  const std::int64_t out_size = size + 2 * pad - kernel + 1;
  return {
      .name = fmt::format("{}@{}x{}_{}x{}x{}{}", out, kernel, kernel, in, size, size, pool ? "_pool" : ""),
      .problem = {.samples = samples,
                  .in_channels = in,
                  .in_height = size,
                  .in_width = size,
                  .out_channels = out,
                  .out_height = out_size,
                  .out_width = out_size,
                  .kernel = kernel,
                  .pad_top = pad,
                  .pad_left = pad,
                  .relu = true,
                  .pool = pool},
      .lowest = lowest};
}

/// The first layer of a network, which sees images.
Layer first(std::int64_t in, std::int64_t size, std::int64_t out, std::int64_t kernel, std::int64_t pad,
            bool pool) {
  return convolution(in, size, out, kernel, pad, pool, true);
}

Layer inner(std::int64_t in, std::int64_t size, std::int64_t out, std::int64_t kernel, std::int64_t pad,
            bool pool) {
  return convolution(in, size, out, kernel, pad, pool, false);
}

Layer with_few_alive(Layer layer) {
  layer.name += "_few_alive";
  layer.few_alive = true;
  return layer;
}

}  // namespace

double Layer::operations() const {
  const auto& p = problem;
  return 2.0 * static_cast<double>(p.samples * p.out_height * p.out_width * p.out_channels * p.in_channels *
                                   p.kernel * p.kernel);
}

std::string Layer::automatic() const {
  const auto& p = problem;
  const device::Conv2dOp convolve{.in_channels = p.in_channels,
                                  .in_height = p.in_height,
                                  .in_width = p.in_width,
                                  .out_channels = p.out_channels,
                                  .out_height = p.out_height,
                                  .out_width = p.out_width,
                                  .kernel_height = p.kernel,
                                  .kernel_width = p.kernel,
                                  .pad_top = p.pad_top,
                                  .pad_bottom = p.out_height + p.kernel - 1 - p.in_height - p.pad_top,
                                  .pad_left = p.pad_left,
                                  .pad_right = p.out_width + p.kernel - 1 - p.in_width - p.pad_left};
  device::Network network;
  network.nodes = {{.name = "convolution", .op = convolve, .in = {}, .out = {}},
                   {.name = "relu", .op = device::ActivationOp{}, .in = {}, .out = {}}};
  if (p.pool)
    network.nodes.push_back({.name = "pool",
                             .op = device::Pool2dOp{.channels = p.out_channels,
                                                    .in_height = p.out_height,
                                                    .in_width = p.out_width,
                                                    .out_height = p.dst_height(),
                                                    .out_width = p.dst_width(),
                                                    .size_height = 2,
                                                    .size_width = 2,
                                                    .stride_height = 2,
                                                    .stride_width = 2},
                             .in = {},
                             .out = {}});
  const device::cpu::Site site{.engine = {},
                               .network = network,
                               .node = network.nodes.front(),
                               .samples = p.samples,
                               .mode = device::Mode::training,
                               .offered = {},
                               .backward = true,
                               .data_gradient = !lowest,
                               .following = std::span(network.nodes).subspan(1),
                               .parameters_below = !lowest,
                               .relu_follows = true};
  using device::ConvolutionMethod;
  const ConvolutionMethod method = device::cpu::fused::choose(convolve, site);
  if (method == ConvolutionMethod::winograd)
    return fmt::format("winograd{}", device::cpu::fused::winograd_tile(convolve, p.pool));
  return method == ConvolutionMethod::direct ? "direct" : "onednn";
}

std::vector<Layer> layers() {
  return {
      // configs/mnist_cnn.yaml
      first(1, 28, 24, 5, 0, true),
      inner(24, 12, 48, 5, 0, true),
      with_few_alive(inner(24, 12, 48, 5, 0, true)),
      // launch/benchmark/cifar_shaped.yaml
      first(3, 32, 64, 3, 1, false),
      inner(64, 32, 64, 3, 1, true),
      with_few_alive(inner(64, 32, 64, 3, 1, true)),
      inner(64, 16, 128, 3, 1, false),
      inner(128, 16, 128, 3, 1, true),
      inner(128, 8, 256, 3, 1, true),
      // others
      first(1, 28, 8, 3, 1, true),
      first(1, 28, 32, 3, 1, false),
      first(3, 32, 64, 3, 1, true),
      first(3, 32, 32, 5, 2, true),
      first(3, 32, 32, 5, 2, false),
      inner(8, 14, 8, 5, 2, false),
      inner(16, 32, 16, 3, 1, false),
      inner(16, 16, 32, 5, 2, false),
      inner(32, 14, 64, 3, 1, true),
      inner(64, 32, 64, 3, 1, false),
      inner(128, 8, 256, 3, 1, false),
      inner(128, 7, 128, 3, 1, false),
      inner(256, 4, 512, 3, 1, false),
      inner(192, 8, 192, 5, 2, false),
      inner(256, 8, 384, 3, 1, false),
      inner(512, 2, 512, 3, 1, false),
      inner(512, 4, 512, 3, 1, false),
      inner(512, 8, 512, 3, 1, false),
  };
}

}  // namespace lockstep
