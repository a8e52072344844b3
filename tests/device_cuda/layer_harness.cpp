#include "device_cuda/layer_harness.h"

#include <gtest/gtest.h>

#include <cmath>

#include "device/cuda/layer.h"
#include "device/cuda/stream.h"

namespace lockstep::testing {
namespace {

using namespace device;
using namespace device::cuda;

Site make_site(const Network& network, std::int64_t samples, config::Precision precision, cudnnHandle_t cudnn,
               Choices& choices, const BlockOptions& options) {
  return {.network = network,
          .node = network.nodes.front(),
          .samples = samples,
          .mode = options.mode,
          .precision = precision,
          .cudnn = cudnn,
          .choices = choices,
          .backward = options.mode == Mode::training,
          .data_gradient = options.mode == Mode::training && options.data_gradient,
          .relu_follows = options.relu_follows,
          .pool_masks_relu = options.pool_masks_relu,
          .masks_relu = options.masks_relu};
}

std::vector<float> read(const StandinDevice& device, const DeviceArray<float>& array,
                        const std::string& what) {
  std::vector<float> values = device.download(array);
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_FALSE(std::isnan(values[i])) << what << " was not written at " << i << " of " << values.size();
  return values;
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
  const auto dst = device->make_array<float>(samples * site.node.out.count());
  const auto diff_dst = device.upload(backward ? dy : std::vector<float>());
  const auto diff_src = device->make_array<float>(backward && contract.data_gradient ? std::ssize(x) : 0);
  const auto gradient = device->make_array<float>(std::ssize(slab));
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
  layer->forward(run);
  BlockResult result;
  result.implementations = contract.implementations;
  result.y = read(device, contract.dst_is_src ? src : dst, "y");
  if (!backward) return result;
  layer->backward(run);
  if (contract.data_gradient)
    result.dx = read(device, contract.diff_src_is_diff_dst ? diff_dst : diff_src, "dx");
  result.gradient = device.download(gradient);
  return result;
}

}  // namespace lockstep::testing
