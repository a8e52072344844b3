#include "device/block_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>

#include "base/aligned_buffer.h"
#include "device/cpu/activation.h"
#include "device/cpu/convolution.h"
#include "device/cpu/dense.h"
#include "device/cpu/dropout.h"
#include "device/cpu/layout_change.h"
#include "device/cpu/pooling.h"

namespace lockstep::testing {
namespace {

using namespace device;
using namespace device::cpu;

/// Owns the memory of one run.
class Memories {
 public:
  explicit Memories(dnnl::engine engine) : engine_(std::move(engine)) {}

  dnnl::memory poisoned(const Desc& desc) {
    if (desc.is_zero() || desc.get_size() == 0) return {};
    auto& storage = storage_.emplace_back(desc.get_size() / sizeof(float) + 1);
    // Creating the memory object may clear its padding, so the poison comes after.
    dnnl::memory memory(desc, engine_, storage.data());
    std::fill(storage.begin(), storage.end(), std::numeric_limits<float>::quiet_NaN());
    return memory;
  }
  dnnl::memory view(const Desc& desc, const dnnl::memory& of) {
    return desc.is_zero() ? dnnl::memory() : dnnl::memory(desc, engine_, of.get_data_handle());
  }
  dnnl::memory holding(const Desc& desc, const std::vector<float>& plain_values) {
    dnnl::memory memory = poisoned(desc);
    dnnl::memory source(plain(dims_of(desc)), engine_, const_cast<float*>(plain_values.data()));
    dnnl::reorder(source, memory).execute(stream_, source, memory);
    return memory;
  }
  std::vector<float> read(const dnnl::memory& memory, const std::string& what) {
    if (!memory) return {};
    const std::int64_t total = floats_of(memory.get_desc());
    for (std::int64_t i = 0; i < total; ++i)
      EXPECT_FALSE(std::isnan(floats(memory)[i])) << what << " was not written at " << i << " of " << total;
    const Desc desc = plain(dims_of(memory.get_desc()));
    std::vector<float> values(desc.get_size() / sizeof(float));
    dnnl::memory target(desc, engine_, values.data());
    dnnl::memory source = memory;
    dnnl::reorder(source, target).execute(stream_, source, target);
    const std::int64_t padding = total - std::ssize(values);
    EXPECT_EQ(std::count(floats(memory), floats(memory) + total, 0.0F),
              std::count(values.begin(), values.end(), 0.0F) + padding)
        << "the padding of " << what << " is not zero";
    return values;
  }
  dnnl::stream& stream() { return stream_; }

 private:
  dnnl::engine engine_;
  dnnl::stream stream_{engine_};
  std::list<std::vector<float>> storage_;
};

Site make_site(const dnnl::engine& engine, const Network& network, std::int64_t samples,
               const BlockOptions& options) {
  Site site{.engine = engine,
            .network = network,
            .node = network.nodes.front(),
            .samples = samples,
            .mode = options.mode,
            .offered = {},
            .backward = options.mode == Mode::training,
            .data_gradient = options.mode == Mode::training && options.data_gradient,
            .following = std::span(network.nodes).subspan(1),
            .parameters_below = options.data_gradient,
            .convolutions = options.convolutions,
            .relu_follows = options.relu_follows,
            .pool_masks_relu = options.pool_masks_relu,
            .masks_relu = options.masks_relu};
  const Dims dims = site.dims(network.input);
  site.offered = options.offer_blocked && dims.size() == 4
                     ? Desc(dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::nChw8c)
                     : plain(dims);
  return site;
}

}  // namespace

BlockResult run_block(const Network& network, std::int64_t samples, const std::vector<float>& x,
                      const std::vector<float>& dy, const std::vector<float>& slab,
                      const BlockOptions& options, const Pass& pass) {
  prepare_cpu_thread();
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const Site site = make_site(engine, network, samples, options);
  const auto block = std::visit([&](const auto& op) { return make_block(op, site); }, site.node.op);
  const Contract& contract = block->contract();
  const Packing packing = block->packing();
  const AlignedBuffer<float> packed(static_cast<std::size_t>(packing.floats));
  block->load(slab, packed.data());
  for (std::int64_t piece = 0; piece < packing.pieces; ++piece) block->pack(slab, piece, packed.data());

  Memories memories(engine);
  const bool backward = options.mode == Mode::training && contract.runs_backward();
  Bindings bindings{.stream = memories.stream(),
                    .src = memories.holding(contract.src, x),
                    .dst = {},
                    .diff_src = {},
                    .diff_dst = {},
                    .buffers = {}};
  bindings.dst =
      contract.dst_is_src ? memories.view(contract.dst, bindings.src) : memories.poisoned(contract.dst);
  if (backward) {
    bindings.diff_dst = memories.holding(contract.diff_dst, dy);
    bindings.diff_src = contract.diff_src_is_diff_dst ? memories.view(contract.diff_src, bindings.diff_dst)
                                                      : memories.poisoned(contract.diff_src);
  }
  for (const auto& buffer : contract.buffers) bindings.buffers.push_back(memories.poisoned(buffer.desc));

  BlockResult result;
  result.implementations = contract.implementations;
  result.gradient.assign(slab.size(), std::numeric_limits<float>::quiet_NaN());
  const auto runner = block->make_runner(bindings);
  Pass own = pass;
  own.training = options.mode == Mode::training;
  own.gradient = result.gradient.data();
  runner->forward(own);
  result.y = memories.read(bindings.dst, "y");
  if (!backward) return result;
  runner->backward(own);
  result.dx = memories.read(bindings.diff_src, "dx");
  return result;
}

}  // namespace lockstep::testing
