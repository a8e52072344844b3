#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/backend.h"

/// Layers with weights and pools of any geometry, compared with the reference whatever runs them.
namespace lockstep::testing {

/// How a layer's block is asked for; see device::cpu::Site and device::cuda::Site.
struct BlockOptions {
  device::Mode mode = device::Mode::training;
  bool data_gradient = true;
  device::ConvolutionMethod convolutions = device::ConvolutionMethod::automatic;  ///< on the CPU
  bool relu_follows = false, pool_masks_relu = false, masks_relu = false;
  bool offer_blocked = false;  ///< the CPU's block before leaves channels in groups of eight
};

/// Passes whose sums run through the domain of a transform (FFT, Winograd's), where an error spreads over
/// many results.
struct Transforms {
  bool forward = false, data = false, filter = false;
};

struct BlockResult {
  std::vector<float> y, dx;  ///< plain; dx is empty where none was asked for
  std::vector<float> gradient;
  Transforms transforms;
  std::vector<std::string> implementations;
};

/// Runs the first node of a network forward and, in training, backward.
using RunLayer = std::function<BlockResult(const device::Network& network, std::int64_t samples,
                                           const std::vector<float>& x, const std::vector<float>& dy,
                                           const std::vector<float>& slab, const BlockOptions& options)>;

struct ConvolutionCase {
  device::Conv2dOp op;
  std::int64_t samples;
  [[nodiscard]] std::string text() const;
};

/// A geometry drawn from all that a layer may ask for: any kernel, strides, four paddings, odd and prime
/// extents.
ConvolutionCase draw_convolution(std::uint32_t seed);
/// One of the MNIST network's.
ConvolutionCase square_convolution(std::int64_t in, std::int64_t size, std::int64_t out,
                                   std::int64_t samples);
device::Network network_of(const device::Conv2dOp& op);
/// Compares y, dx and both parameter gradients with the reference, within the rounding bound of a sum of that
/// many products.
void check_layer(const RunLayer& run, const ConvolutionCase& one, const BlockOptions& options);

struct DenseCase {
  std::int64_t samples, in, out;
  bool bias = true;
};

void check_layer(const RunLayer& run, const DenseCase& one, const BlockOptions& options);

struct PoolingCase {
  device::Pool2dOp op;
  std::int64_t samples;
  [[nodiscard]] std::string text() const;
};

PoolingCase draw_pooling(device::Pool2dOp::Kind kind, std::uint32_t seed);
device::Network network_of(const device::Pool2dOp& op);
/// `levels` > 0 rounds the input to so many values, which makes ties.
void check_layer(const RunLayer& run, const PoolingCase& one, int levels, const BlockOptions& options);

}  // namespace lockstep::testing
