// Each pass of a convolution block (bias, ReLU, perhaps 2×2 max-pool) on one shard and of a dense layer
// on the eight shards of a batch, on one core: Lockstep's own kernels and oneDNN's primitives. At the end a
// table: what the rule of device.convolutions=auto chooses for each layer, beside oneDNN.
//
//   lockstep_fused_benchmark [--benchmark_filter=64@3x3] [--benchmark_min_time=0.1]
//   [--benchmark_repetitions=3]
//
// `FLOP/s` counts the multiply-adds of the definition, two operations each, those with zeros of the padding
// included, whoever saves some of them; `of_peak` is its share of the FMA peak measured at the start.
// `done_of_peak` counts those that the matrix products really do. In dense layers whose name ends in `_relu`
// two in three of the inputs and of the outputs' gradients are zero. Packing weights, once for all shards of
// a step, is not among the passes; it has its own lines, with the bytes that it writes.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/aligned_buffer.h"
#include "comparison.h"
#include "dense_layers.h"
#include "device/backend.h"
#include "device/cpu/fused/kernels.h"
#include "layers.h"
#include "onednn_block.h"
#include "registration.h"

namespace lockstep {
namespace {

namespace fused = device::cpu::fused;

/// One layer with its memory.
class Fused {
 public:
  Fused(const Layer& layer, const fused::Method& method)
      : problem_(layer.problem),
        method_(method),
        layout_(method_.layout(problem_, /*data_gradient=*/!layer.lowest)),
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
        workspace_(static_cast<std::size_t>(layout_.backward_workspace)),
        record_(static_cast<std::size_t>(layout_.record)) {
    if (layer.few_alive) {
      // An output is about normal, with a deviation of √(products / 9); the greatest of four is above 1.4
      // of them three times in ten.
      const auto products = static_cast<double>(problem_.kernel * problem_.kernel * problem_.in_channels);
      std::ranges::fill(bias_.span(), static_cast<float>(-1.4 * std::sqrt(products / 9)));
    }
    pack();
    forward();  // the record is there whichever pass is measured
  }
  void pack() { method_.pack_all(problem_, layout_, weights_.data(), packed_.data()); }
  [[nodiscard]] std::int64_t packed_bytes() const {
    return static_cast<std::int64_t>(packed_.span().size_bytes());
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

/// Products that the Winograd kernels do, for each of the definition; backward from few alive outputs it is
/// about one for each.
double done(const Layer& layer, std::int64_t tile, bool backward) {
  constexpr double alive_of_outputs = 0.3 / 4;
  if (layer.few_alive && backward) return alive_of_outputs;
  const fused::Problem& p = layer.problem;
  const std::int64_t windows = tile / 2;
  const std::int64_t tiles =
      ((p.window_rows() + windows - 1) / windows) * ((p.window_columns() + windows - 1) / windows);
  const std::int64_t patch = p.kernel + tile - 1;
  return static_cast<double>(tiles * patch * patch) /
         static_cast<double>(p.out_height * p.out_width * p.kernel * p.kernel);
}

/// A layer's two passes in every way, and what is compared of them.
class LayerBenchmarks {
 public:
  explicit LayerBenchmarks(const Layer& layer)
      : layer_(layer),
        contest_{
            .layer = layer.name,
            .chosen = layer.automatic(),
            .reference = "onednn",
            .passes = {{.name = "forward", .operations = layer.operations()},
                       {.name = "backward", .operations = layer.operations() * (layer.lowest ? 1 : 2)}}} {}

  void add_own(const fused::Kernels& kernels, bool compared) {
    const std::int64_t kernel = layer_.problem.kernel;
    for (const std::int64_t tile : {2, 4})
      add_method(kernels, fmt::format("winograd{}", tile), kernels.winograd(tile, kernel),
                 {done(layer_, tile, false), done(layer_, tile, true)}, compared);
    if (layer_.lowest) add_method(kernels, "direct", kernels.direct(kernel), {1, 1}, compared);
  }
  void add_onednn() {
    const auto primitives = std::make_shared<OnednnBlock>(layer_.problem, !layer_.lowest);
    add_pass(0, "onednn", "onednn", 1, true, [primitives] { primitives->forward(); });
    add_pass(1, "onednn", "onednn", 1, true, [primitives] { primitives->backward(); });
  }
  [[nodiscard]] const Contest& contest() const { return contest_; }

 private:
  /// `done_shares`: of its passes.
  void add_method(const fused::Kernels& kernels, const std::string& way, const fused::Method& method,
                  const std::array<double, 2>& done_shares, bool compared) {
    const auto own = std::make_shared<Fused>(layer_, method);
    const std::string label = fmt::format("{}_{}", way, kernels.instruction_set);
    add_pass(0, way, label, done_shares[0], compared, [own] { own->forward(); });
    add_pass(1, way, label, done_shares[1], compared, [own, data = !layer_.lowest] { own->backward(data); });
    add_packing(fmt::format("{}/pack/{}", contest_.layer, label), own->packed_bytes(),
                [own] { own->pack(); });
  }
  void add_pass(std::size_t index, const std::string& way, const std::string& label, double done_share,
                bool compared, const std::function<void()>& run) {
    Contest::Pass& pass = contest_.passes[index];
    const std::string name = fmt::format("{}/{}/{}", contest_.layer, pass.name, label);
    add_arithmetic(name, pass.operations, done_share, run);
    if (compared) pass.benchmarks[way] = name;
  }

  Layer layer_;
  Contest contest_;
};

std::vector<Contest> register_all() {
  std::vector<Contest> contests;
  const std::string best = fused::kernels().instruction_set;
  for (const Layer& layer : layers()) {
    LayerBenchmarks benchmarks(layer);
    for (const fused::Kernels& kernels : fused::all_kernels()) {
      if (kernels.lanes < 8) continue;  // the least target is there to be right
      benchmarks.add_own(kernels, kernels.instruction_set == best);
    }
    benchmarks.add_onednn();
    contests.push_back(benchmarks.contest());
  }
  for (Contest& contest : register_dense_layers()) contests.push_back(std::move(contest));
  return contests;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  lockstep::device::prepare_cpu_thread();
  const auto contests = lockstep::register_all();
  lockstep::Reporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  lockstep::print_comparison(contests, reporter.microseconds(), lockstep::measured_peak());
  benchmark::Shutdown();
}
