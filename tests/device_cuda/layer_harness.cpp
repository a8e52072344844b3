#include "device_cuda/layer_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <string>

#include "device/cuda/layer.h"
#include "device/cuda/stream.h"

namespace lockstep::testing {
namespace {

using namespace device;
using namespace device::cuda;

/// One that no layer computes along the way.
const Pool2dOp overlapping_pool{.size_height = 3, .size_width = 3, .stride_height = 2, .stride_width = 2};

const Pool2dOp* pool_behind(const Network& network, const BlockOptions& options) {
  if (network.nodes.size() > 2) return &std::get<Pool2dOp>(network.nodes[2].op);
  return options.pool_masks_relu ? &overlapping_pool : nullptr;
}

/// What the layer gives: of a node that the network leaves out, a ReLU, as much as the one before.
const Shape& out_of(const Network& network, const Contract& contract) {
  return network.nodes[std::min(contract.implementations.size(), network.nodes.size()) - 1].out;
}

/// Of a convolution, as it names itself: by the numbers of cudnnConvolution…Algo_t. The stand-in computes all
/// as the definition says.
Transforms transforms_of(const std::string& implementation) {
  if (standin::is_linked()) return {};
  const auto names = [&](const char* pattern) {
    return std::regex_search(implementation, std::regex(pattern));
  };
  return {.forward = names("forward [4-7]"), .data = names("data [2-5]"), .filter = names("filter [2456]")};
}

Site make_site(const Network& network, std::int64_t samples, config::Precision precision, cudnnHandle_t cudnn,
               Choices& choices, const BlockOptions& options) {
  return {.network = network,
          .node = network.nodes.front(),
          .samples = samples,
          .mode = options.mode,
          .precision = precision,
          .cudnn = cudnn,
          .choices = choices,
          .is_lowest = !options.data_gradient,
          .backward = options.mode == Mode::training,
          .data_gradient = options.mode == Mode::training && options.data_gradient,
          .relu_follows = options.relu_follows,
          .pool = pool_behind(network, options),
          .masks_relu = options.masks_relu};
}

/// Memory that nothing was written to: of NaN.
DeviceArray<float> unwritten(const StandinDevice& device, std::int64_t count) {
  return device.upload(
      std::vector<float>(static_cast<std::size_t>(count), std::numeric_limits<float>::quiet_NaN()));
}

/// Inputs that are finite give outputs that are no NaN, unless they or what they are made of was not written.
std::vector<float> read(const StandinDevice& device, const DeviceArray<float>& array, bool finite,
                        const std::string& what) {
  std::vector<float> values = device.download(array);
  for (std::size_t i = 0; i < values.size() && finite; ++i)
    EXPECT_FALSE(std::isnan(values[i])) << what << " was not written at " << i << " of " << values.size();
  return values;
}

bool are_finite(const std::vector<float>& values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

}  // namespace

BlockResult run_layer(const StandinDevice& device, config::Precision precision, const Network& network,
                      std::int64_t samples, const std::vector<float>& x, const std::vector<float>& dy,
                      const std::vector<float>& slab, const BlockOptions& options, const Draw& draw) {
  const CudnnHandle cudnn = make_cudnn();
  Choices choices("");
  const Site site = make_site(network, samples, precision, cudnn.get(), choices, options);
  const auto layer = std::visit([&](const auto& op) { return make_layer(op, site); }, site.node.op);
  const Contract& contract = layer->contract();
  Libraries libraries(*device, true, true);
  libraries.use(native(device.stream()));

  const bool backward = options.mode == Mode::training && contract.runs_backward();
  const auto src = device.upload(x);
  const auto weights = device.upload(slab);
  const auto dst = unwritten(device, samples * out_of(network, contract).count());
  const auto diff_dst = device.upload(backward ? dy : std::vector<float>());
  const auto diff_src = unwritten(device, backward && contract.data_gradient ? std::ssize(x) : 0);
  const auto gradient = unwritten(device, std::ssize(slab));
  std::vector<std::unique_ptr<Memory>> buffers;
  std::vector<std::byte*> addresses;
  for (const auto& buffer : contract.buffers) {
    buffers.push_back(device->allocate(buffer.bytes));
    addresses.push_back(buffers.back()->data());
  }
  const auto rows = device.upload(draw.rows);
  const auto epoch = device.upload(std::vector<std::int64_t>{draw.epoch});
  const DeviceShard shard{.images = {}, .labels = {}, .rows = rows.span(), .epoch = epoch.span()};
  const Run run{.stream = native(device.stream()),
                .libraries = libraries,
                .shard = shard,
                .training = options.mode == Mode::training,
                .weights = weights.span().data,
                .gradient = gradient.span().data,
                .src = src.span().data,
                .dst = contract.dst_is_src ? src.span().data : dst.span().data,
                .diff_src = contract.diff_src_is_diff_dst ? diff_dst.span().data : diff_src.span().data,
                .diff_dst = diff_dst.span().data,
                .buffers = addresses};
  const bool finite = are_finite(x) && are_finite(dy) && are_finite(slab);
  layer->forward(run);
  BlockResult result;
  result.implementations = contract.implementations;
  result.transforms = transforms_of(contract.implementations.front());
  result.y = read(device, contract.dst_is_src ? src : dst, finite, "y");
  if (!backward) return result;
  layer->backward(run);
  if (contract.data_gradient)
    result.dx = read(device, contract.diff_src_is_diff_dst ? diff_dst : diff_src, finite, "dx");
  result.gradient = device.download(gradient);
  return result;
}

}  // namespace lockstep::testing
