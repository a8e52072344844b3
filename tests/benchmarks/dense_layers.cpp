#include "dense_layers.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>

#include "device/backend.h"
#include "device/cpu/fused/dense_block.h"
#include "device/cpu/fused/kernels.h"
#include "device/cpu/onednn.h"
#include "registration.h"

namespace lockstep {
namespace {

namespace fused = device::cpu::fused;
using fused::DenseExtents;

constexpr std::int64_t shards = 8, shard_samples = 16, samples = shards * shard_samples;  // a batch of 128

/// Values of which a share is not zero.
AlignedBuffer<float> random_sparse(std::int64_t count, double share) {
  AlignedBuffer<float> values = random_floats(count);
  const AlignedBuffer<float> chances = random_floats(2 * count);  // the same at the beginning
  for (std::int64_t i = 0; i < count; ++i)
    if ((chances[static_cast<std::size_t>(count + i)] + 1) / 2 >= share)
      values[static_cast<std::size_t>(i)] = 0;
  return values;
}

/// Lockstep's, shard by shard, and all shards' weight gradients together.
class OwnDense {
 public:
  OwnDense(const DenseExtents& extents, double share, const fused::Kernels& kernels)
      : extents_(extents),
        packs_(fused::packs_dense(extents.in, extents.out)),
        product_(kernels.dense_product),
        dots_(kernels.dense_forward),
        gradient_(kernels.dense_gradient),
        x_(random_sparse(samples * extents.in, share)),
        weights_(random_floats(extents.in * extents.out)),
        bias_(random_floats(extents.out)),
        y_(random_floats(samples * extents.out)),
        dy_(random_sparse(samples * extents.out, share)),
        dx_(x_.size()),
        dweights_(weights_.size()),
        packed_(static_cast<std::size_t>(product_.packed_floats(extents))),
        workspace_(static_cast<std::size_t>(dots_.workspace(extents))) {
    pack();
    for (std::int64_t shard = 0; shard < shards; ++shard)
      kept_.emplace_back(static_cast<std::size_t>(gradient_.kept_floats(extents) * shard_samples));
    for (const AlignedBuffer<float>& kept : kept_)
      kept_shards_.push_back({.data = kept.data(), .samples = shard_samples});
  }
  [[nodiscard]] std::int64_t packed_bytes() const {
    return static_cast<std::int64_t>(packed_.span().size_bytes());
  }
  void pack() { product_.pack_all(extents_, weights_.data(), packed_.data()); }
  /// So many shards together.
  void forward(std::int64_t together) {
    const std::vector<fused::DenseShard> all = cut(x_, y_);
    for (std::int64_t first = 0; first < shards; first += together)
      (packs_ ? product_.forward : dots_.compute)(extents_, shard_samples,
                                                  {.shards = part(all, first, together),
                                                   .weights = packs_ ? packed_.data() : weights_.data(),
                                                   .bias = bias_.data(),
                                                   .relu = true,
                                                   .workspace = workspace_.data()});
  }
  void data_gradient(std::int64_t together) {
    const std::vector<fused::DenseShard> all = cut(dy_, dx_);
    for (std::int64_t first = 0; first < shards; first += together)
      product_.data_gradient(extents_, shard_samples, part(all, first, together), weights_.data());
  }
  void weight_gradient() {
    for (std::int64_t shard = 0; shard < shards; ++shard)
      gradient_.keep(extents_, shard_samples, x_.data() + shard * shard_samples * extents_.in,
                     dy_.data() + shard * shard_samples * extents_.out,
                     kept_[static_cast<std::size_t>(shard)].data());
    for (std::int64_t piece = 0; piece < gradient_.pieces(extents_); ++piece)
      gradient_.add_up(extents_, 0, piece, kept_shards_, dweights_.data());
  }

 private:
  static std::vector<fused::DenseShard> cut(const AlignedBuffer<float>& from,
                                            const AlignedBuffer<float>& to) {
    std::vector<fused::DenseShard> all;
    for (std::size_t shard = 0; shard < shards; ++shard)
      all.push_back({.from = from.data() + shard * (from.size() / shards),
                     .to = to.data() + shard * (to.size() / shards)});
    return all;
  }
  static std::span<const fused::DenseShard> part(std::span<const fused::DenseShard> all, std::int64_t first,
                                                 std::int64_t count) {
    return all.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  }

  DenseExtents extents_;
  bool packs_;
  fused::DenseProduct product_;
  fused::DenseForward dots_;
  fused::DenseGradient gradient_;
  AlignedBuffer<float> x_, weights_, bias_, y_, dy_, dx_, dweights_, packed_, workspace_;
  std::vector<AlignedBuffer<float>> kept_;
  std::vector<device::KeptShard> kept_shards_;
};

/// oneDNN's: shard by shard, the weight gradient of the whole batch at once, which is to its favour. The
/// layouts of weights are those that it likes best, and what it takes to bring them into these is left out.
class OnednnDense {
 public:
  explicit OnednnDense(const DenseExtents& extents) {
    using namespace device::cpu;
    using Forward = dnnl::inner_product_forward;
    using BackwardData = dnnl::inner_product_backward_data;
    using BackwardWeights = dnnl::inner_product_backward_weights;
    const Desc weights = any_layout({extents.out, extents.in});
    const Desc bias = plain(Dims{extents.out});
    const auto describe_forward = [&](std::int64_t count, const dnnl::primitive_attr& attributes) {
      return describe<Forward>(engine_, attributes, forward_kind, plain({count, extents.in}), weights, bias,
                               plain({count, extents.out}));
    };
    dnnl::primitive_attr with_relu = common_attributes();
    append_relu(with_relu);
    const auto forward = describe_forward(shard_samples, with_relu);
    forward_ = Call(Forward(forward), stream_,
                    {{DNNL_ARG_SRC, memory(forward.src_desc())},
                     {DNNL_ARG_WEIGHTS, memory(forward.weights_desc())},
                     {DNNL_ARG_BIAS, memory(bias)},
                     {DNNL_ARG_DST, memory(forward.dst_desc())},
                     {DNNL_ARG_SCRATCHPAD, memory(forward.scratchpad_desc())}});
    const auto data = describe_backward<BackwardData>(
        engine_, describe_forward(shard_samples, common_attributes()), plain({shard_samples, extents.in}),
        weights, plain({shard_samples, extents.out}));
    data_gradient_ = Call(BackwardData(data), stream_,
                          {{DNNL_ARG_DIFF_DST, memory(data.diff_dst_desc())},
                           {DNNL_ARG_WEIGHTS, memory(data.weights_desc())},
                           {DNNL_ARG_DIFF_SRC, memory(data.diff_src_desc())},
                           {DNNL_ARG_SCRATCHPAD, memory(data.scratchpad_desc())}});
    const auto for_gradient =
        describe<Forward>(engine_, common_attributes(), forward_kind, plain({samples, extents.in}), weights,
                          plain({samples, extents.out}));  // without a bias
    const auto gradient = describe_backward<BackwardWeights>(
        engine_, for_gradient, plain({samples, extents.in}), weights, plain({samples, extents.out}));
    weight_gradient_ = Call(BackwardWeights(gradient), stream_,
                            {{DNNL_ARG_SRC, memory(gradient.src_desc())},
                             {DNNL_ARG_DIFF_DST, memory(gradient.diff_dst_desc())},
                             {DNNL_ARG_DIFF_WEIGHTS, memory(gradient.diff_weights_desc())},
                             {DNNL_ARG_SCRATCHPAD, memory(gradient.scratchpad_desc())}});
  }
  void forward() const {
    for (std::int64_t shard = 0; shard < shards; ++shard) forward_.run();
  }
  void data_gradient() const {
    for (std::int64_t shard = 0; shard < shards; ++shard) data_gradient_.run();
  }
  void weight_gradient() const { weight_gradient_.run(); }

 private:
  dnnl::memory memory(const device::cpu::Desc& desc) {
    if (desc.is_zero() || desc.get_size() == 0) return {};
    dnnl::memory made(desc, engine_);
    std::fill_n(static_cast<std::uint8_t*>(made.get_data_handle()), desc.get_size(), std::uint8_t{0});
    return made;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  device::cpu::Call forward_, data_gradient_, weight_gradient_;
};

/// A layer's three passes in both ways, of whose inputs and gradients a share is not zero.
Contest register_layer(const DenseExtents& extents, const std::string& name, double share) {
  const double operations = 2.0 * static_cast<double>(samples * extents.in * extents.out);
  Contest contest{.layer = name,
                  .chosen = "own",
                  .reference = "onednn",
                  .passes = {{.name = "forward", .operations = operations},
                             {.name = "data", .operations = operations},
                             {.name = "weights", .operations = operations}}};
  const auto add = [&](const std::string& way, const std::string& label, double done, bool compared,
                       const std::array<std::function<void()>, 3>& passes) {
    const bool is_own = way == "own";
    for (std::size_t i = 0; i < passes.size(); ++i) {
      const std::string benchmark = fmt::format("{}/{}/{}", name, contest.passes[i].name, label);
      const bool does_all = is_own && i == 0 && !fused::packs_dense(extents.in, extents.out);
      add_arithmetic(benchmark, operations, does_all ? 1 : done, passes[i]);
      if (compared) contest.passes[i].benchmarks[way] = benchmark;
    }
  };
  const std::string best = fused::kernels().instruction_set;
  const std::int64_t together = fused::has_large_weights(extents.in, extents.out) ? shards : 1;
  for (const fused::Kernels& kernels : fused::all_kernels()) {
    if (kernels.lanes < 8) continue;  // the least target is there to be right
    const auto own = std::make_shared<OwnDense>(extents, share, kernels);
    const std::string label = fmt::format("own_{}", kernels.instruction_set);
    add("own", label, share, kernels.instruction_set == best,
        {[own, together] { own->forward(together); }, [own, together] { own->data_gradient(together); },
         [own] { own->weight_gradient(); }});
    if (fused::packs_dense(extents.in, extents.out))
      add_packing(fmt::format("{}/pack/{}", name, label), own->packed_bytes(), [own] { own->pack(); });
  }
  const auto onednn = std::make_shared<OnednnDense>(extents);
  add("onednn", "onednn", 1, true,
      {[onednn] { onednn->forward(); }, [onednn] { onednn->data_gradient(); },
       [onednn] { onednn->weight_gradient(); }});
  return contest;
}

}  // namespace

std::vector<Contest> register_dense_layers() {
  std::vector<Contest> contests;
  for (const DenseExtents& extents : {DenseExtents{.in = 768, .out = 512},
                                      {.in = 1024, .out = 256},
                                      {.in = 3136, .out = 128},
                                      {.in = 2048, .out = 1024},
                                      {.in = 4096, .out = 4096},
                                      {.in = 64, .out = 64},
                                      {.in = 784, .out = 10},
                                      {.in = 512, .out = 10},
                                      {.in = 64, .out = 10}}) {
    const std::string name = fmt::format("dense{}x{}", extents.in, extents.out);
    contests.push_back(register_layer(extents, name + "_relu", 1.0 / 3));
    contests.push_back(register_layer(extents, name, 1));
  }
  return contests;
}

}  // namespace lockstep
