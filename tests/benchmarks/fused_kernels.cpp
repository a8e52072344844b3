// Each pass of a convolution block (bias, ReLU, perhaps 2×2 max-pool) on one shard and one core: Lockstep's
// fused kernels and oneDNN's primitives, side by side.
//
// `GFLOP/s` counts the multiply-adds of the definition, whoever saves some of them; `of_peak` is its share of
// the FMA peak measured at the start. `done_of_peak` counts those that the matrix products really do.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "device/backend.h"
#include "device/cpu/fused/kernels.h"
#include "fma_peak.h"
#include "onednn_block.h"

namespace lockstep {
namespace {

namespace fused = device::cpu::fused;

struct Layer {
  const char* name;
  fused::Problem problem;
  bool lowest;  ///< no data gradient, and the direct kernels can do it too
};

fused::Problem convolution(std::int64_t in, std::int64_t size, std::int64_t out, std::int64_t kernel,
                           std::int64_t pad, bool pool) {
  const std::int64_t out_size = size + 2 * pad - kernel + 1;
  return {.samples = 16,
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
          .pool = pool};
}

std::vector<Layer> layers() {
  return {{"mnist1_24@5x5_1x28x28_pool", convolution(1, 28, 24, 5, 0, true), true},
          {"mnist2_48@5x5_24x12x12_pool", convolution(24, 12, 48, 5, 0, true), false},
          {"gray_32@3x3_1x28x28", convolution(1, 28, 32, 3, 1, false), true},
          {"rgb_64@3x3_3x32x32", convolution(3, 32, 64, 3, 1, false), true},
          {"rgb_64@3x3_3x32x32_pool", convolution(3, 32, 64, 3, 1, true), true},
          {"rgb_32@5x5_3x32x32_pool", convolution(3, 32, 32, 5, 2, true), true},
          {"64@3x3_64x32x32_pool", convolution(64, 32, 64, 3, 1, true), false},
          {"128@3x3_64x16x16", convolution(64, 16, 128, 3, 1, false), false},
          {"128@3x3_128x16x16_pool", convolution(128, 16, 128, 3, 1, true), false},
          {"256@3x3_128x8x8", convolution(128, 8, 256, 3, 1, false), false},
          {"16@3x3_16x32x32", convolution(16, 32, 16, 3, 1, false), false},
          {"8@5x5_8x14x14", convolution(8, 14, 8, 5, 2, false), false}};
}

AlignedBuffer<float> random_floats(std::int64_t count) {
  std::mt19937 generator(1);
  AlignedBuffer<float> values(static_cast<std::size_t>(count));
  for (float& value : values.span())
    value = static_cast<float>(static_cast<std::int32_t>(generator())) * 0x1p-31F;
  return values;
}

/// One layer with its memory.
class Fused {
 public:
  Fused(const Layer& layer, const fused::Kernels& kernels, bool direct)
      : problem_(layer.problem),
        method_(direct ? (problem_.kernel == 3 ? kernels.direct3 : kernels.direct5)
                       : (problem_.kernel == 3 ? kernels.winograd3 : kernels.winograd5)),
        layout_(method_.layout(problem_, !layer.lowest)),
        x_(random_floats(problem_.samples * problem_.in_height * problem_.in_width * problem_.in_channels)),
        weights_(
            random_floats(problem_.out_channels * problem_.in_channels * problem_.kernel * problem_.kernel)),
        bias_(random_floats(problem_.out_channels)),
        y_(random_floats(problem_.samples * problem_.dst_height() * problem_.dst_width() *
                         problem_.out_channels)),
        dy_(random_floats(static_cast<std::int64_t>(y_.size()))),
        dweights_(weights_.size()),
        dbias_(bias_.size()),
        dx_(layer.lowest ? 0 : x_.size()),
        packed_(static_cast<std::size_t>(layout_.packed)),
        workspace_(static_cast<std::size_t>(layout_.workspace)),
        record_(static_cast<std::size_t>(layout_.record)) {
    method_.pack(problem_, layout_, !layer.lowest, weights_.data(), packed_.data());
  }
  void forward() const {
    method_.forward(problem_, layout_,
                    {.x = x_.data(),
                     .packed = packed_.data(),
                     .bias = bias_.data(),
                     .y = y_.data(),
                     .record = record_.data(),
                     .workspace = workspace_.data()});
  }
  /// Both gradients, or that of the weights alone.
  void backward(bool data) const {
    method_.backward(problem_, layout_,
                     {.x = x_.data(),
                      .dy = dy_.data(),
                      .record = record_.data(),
                      .packed = packed_.data(),
                      .dweight = dweights_.data(),
                      .dbias = dbias_.data(),
                      .dx = data ? dx_.data() : nullptr,
                      .workspace = workspace_.data()});
  }

 private:
  fused::Problem problem_;
  fused::Method method_;
  fused::Layout layout_;
  AlignedBuffer<float> x_, weights_, bias_, y_, dy_, dweights_, dbias_, dx_, packed_, workspace_;
  AlignedBuffer<std::uint8_t> record_;
};

double useful_operations(const fused::Problem& p) {
  return 2.0 * static_cast<double>(p.samples * p.out_height * p.out_width * p.out_channels * p.in_channels *
                                   p.kernel * p.kernel);
}

/// Products that the Winograd kernels do, for each of the definition.
double done(const Layer& layer, bool direct) {
  if (direct) return 1;
  const auto taps = static_cast<double>(layer.problem.kernel);
  return (taps + 1) * (taps + 1) / (4 * taps * taps);
}

void add(const std::string& name, double passes, double done_share, const Layer& layer,
         const std::function<void()>& run) {
  static const double peak = fma_peak();
  const double operations = passes * useful_operations(layer.problem);
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    for (auto _ : state) run();
    using benchmark::Counter;
    const auto rate = [](double value) {
      return Counter(value, Counter::kIsIterationInvariantRate, Counter::kIs1000);
    };
    state.counters["FLOP/s"] = rate(operations);
    state.counters["of_peak"] = rate(operations / (1e9 * peak));
    state.counters["done_of_peak"] = rate(operations * done_share / (1e9 * peak));
  })->Unit(benchmark::kMicrosecond);
}

void register_own(const Layer& layer, const fused::Kernels& kernels, bool direct) {
  const auto own = std::make_shared<Fused>(layer, kernels, direct);
  const auto add_pass = [&](const char* pass, double passes, const std::function<void()>& run) {
    add(fmt::format("{}/{}/{}_{}", layer.name, pass, direct ? "direct" : "winograd", kernels.instruction_set),
        passes, done(layer, direct), layer, run);
  };
  add_pass("forward", 1, [own] { own->forward(); });
  add_pass("backward", layer.lowest ? 1 : 2, [own, data = !layer.lowest] { own->backward(data); });
}

void register_all() {
  for (const Layer& layer : layers()) {
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      if (kernels.lanes < 8) continue;  // the least target is there to be right
      register_own(layer, kernels, false);
      if (layer.lowest) register_own(layer, kernels, true);
    }
    const auto primitives = std::make_shared<OnednnBlock>(layer.problem, !layer.lowest);
    add(fmt::format("{}/forward/onednn", layer.name), 1, 1, layer, [primitives] { primitives->forward(); });
    add(fmt::format("{}/backward/onednn", layer.name), layer.lowest ? 1 : 2, 1, layer,
        [primitives] { primitives->backward(); });
  }
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  lockstep::device::prepare_cpu_thread();
  lockstep::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
