#include "dense_layers.h"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string>

#include "device/backend.h"
#include "device/cpu/fused/kernels.h"
#include "device/cpu/onednn.h"
#include "registration.h"

namespace lockstep {
namespace {

namespace fused = device::cpu::fused;
using fused::DenseExtents;

constexpr std::int64_t shards = 8, shard_samples = 16, samples = shards * shard_samples;  // a batch of 128

/// Lockstep's, shard by shard, and all shards' gradients together.
class OwnDense {
 public:
  OwnDense(const DenseExtents& extents, const fused::Kernels& kernels)
      : extents_(extents),
        product_(kernels.dense_product),
        gradient_(kernels.dense_gradient),
        x_(random_floats(samples * extents.in)),
        weights_(random_floats(extents.in * extents.out)),
        bias_(random_floats(extents.out)),
        y_(random_floats(samples * extents.out)),
        dy_(random_floats(samples * extents.out)),
        dx_(x_.size()),
        dweights_(weights_.size()),
        packed_(static_cast<std::size_t>(product_.packed_floats(extents))) {
    if (getenv("SP")) {
      double sp = atof(getenv("SP"));
      for (auto* b : {&x_, &dy_})
        for (float& v : b->span())
          if (drand48() > sp) v = 0;
    }
    pack();
    for (std::int64_t shard = 0; shard < shards; ++shard)
      kept_.emplace_back(static_cast<std::size_t>(gradient_.kept_floats(extents) * shard_samples));
    for (const AlignedBuffer<float>& kept : kept_)
      kept_shards_.push_back({.data = kept.data(), .samples = shard_samples});
  }
  void pack() { product_.pack_all(extents_, weights_.data(), packed_.data()); }
  void forward() {
    for (std::int64_t shard = 0; shard < shards; ++shard)
      product_.forward(extents_, shard_samples,
                       {.x = x_.data() + shard * shard_samples * extents_.in,
                        .packed = packed_.data(),
                        .bias = bias_.data(),
                        .relu = true,
                        .y = y_.data() + shard * shard_samples * extents_.out});
  }
  void data_gradient() {
    for (std::int64_t shard = 0; shard < shards; ++shard)
      product_.data_gradient(extents_, shard_samples, dy_.data() + shard * shard_samples * extents_.out,
                             weights_.data(), dx_.data() + shard * shard_samples * extents_.in);
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
  DenseExtents extents_;
  fused::DenseProduct product_;
  fused::DenseGradient gradient_;
  AlignedBuffer<float> x_, weights_, bias_, y_, dy_, dx_, dweights_, packed_;
  std::vector<AlignedBuffer<float>> kept_;
  std::vector<device::KeptShard> kept_shards_;
};

/// oneDNN's: forward shard by shard, the gradient of the whole batch at once, which is to its favour. The
/// layouts of weights are those that it likes best, and what it takes to bring them into these is left out.
class OnednnDense {
 public:
  explicit OnednnDense(const DenseExtents& extents) {
    using namespace device::cpu;
    using Forward = dnnl::inner_product_forward;
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
    const auto gradient = describe_backward<BackwardWeights>(
        engine_, describe_forward(samples, common_attributes()), plain({samples, extents.in}), weights, bias,
        plain({samples, extents.out}));
    weight_gradient_ = Call(BackwardWeights(gradient), stream_,
                            {{DNNL_ARG_SRC, memory(gradient.src_desc())},
                             {DNNL_ARG_DIFF_DST, memory(gradient.diff_dst_desc())},
                             {DNNL_ARG_DIFF_WEIGHTS, memory(gradient.diff_weights_desc())},
                             {DNNL_ARG_DIFF_BIAS, memory(bias)},
                             {DNNL_ARG_SCRATCHPAD, memory(gradient.scratchpad_desc())}});
  }
  void forward() const {
    for (std::int64_t shard = 0; shard < shards; ++shard) forward_.run();
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
  device::cpu::Call forward_, weight_gradient_;
};

}  // namespace

std::vector<Contest> register_dense_layers() {
  std::vector<Contest> contests;
  for (const DenseExtents& extents :
       {DenseExtents{.in = 768, .out = 512}, {.in = 1024, .out = 256}, {.in = 3136, .out = 128}}) {
    const double operations = 2.0 * static_cast<double>(samples * extents.in * extents.out);
    Contest contest{.layer = fmt::format("dense{}x{}", extents.in, extents.out),
                    .chosen = "own",
                    .reference = "onednn",
                    .passes = {{.name = "forward", .operations = operations},
                               {.name = "gradient", .operations = operations}}};
    const auto add = [&](std::size_t pass, const std::string& way, const std::string& label, bool compared,
                         const std::function<void()>& run) {
      const std::string name = fmt::format("{}/{}/{}", contest.layer, contest.passes[pass].name, label);
      add_arithmetic(name, operations, 1, run);
      if (compared) contest.passes[pass].benchmarks[way] = name;
    };
    const std::string best = fused::kernels().instruction_set;
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      if (kernels.lanes < 8) continue;  // the least target is there to be right
      const auto own = std::make_shared<OwnDense>(extents, kernels);
      const std::string label = fmt::format("own_{}", kernels.instruction_set);
      add(0, "own", label, kernels.instruction_set == best, [own] { own->forward(); });
      add(1, "own", label, kernels.instruction_set == best, [own] { own->weight_gradient(); });
      add_arithmetic(fmt::format("{}/{}/{}", contest.layer, "data", label), operations, 1,
                     [own] { own->data_gradient(); });
      add_arithmetic(fmt::format("{}/{}/{}", contest.layer, "pack", label), operations, 1,
                     [own] { own->pack(); });
    }
    const auto onednn = std::make_shared<OnednnDense>(extents);
    add(0, "onednn", "onednn", true, [onednn] { onednn->forward(); });
    add(1, "onednn", "onednn", true, [onednn] { onednn->weight_gradient(); });
    contests.push_back(std::move(contest));
  }
  return contests;
}

}  // namespace lockstep
