// What the primitives of oneDNN alone need for one training step of the network in configs/mnist_cnn.yaml,
// each with all threads over the whole batch, in the layouts that it likes best: a bound for programs made of
// them. Not counted: changes of layout between primitives that disagree, the loss, the optimizer and any
// exchange.
#include <fmt/format.h>
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <random>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "device/backend.h"
#include "device/cpu/onednn.h"

namespace lockstep::device::cpu {
namespace {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// One primitive, and what each of its runs took.
struct Timed {
  std::string name;
  Call call;
  std::vector<double> milliseconds;

  void run() {
    const auto start = std::chrono::steady_clock::now();
    call.run();
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    milliseconds.push_back(elapsed.count());
  }
};

/// One layer, with what fuses into it. The gradient of tensor x is the tensor "d.x".
struct Block {
  std::vector<Timed> forward, backward;
};

/// The primitives of a training step, in its order, with their memory.
class Step {
 public:
  explicit Step(std::int64_t batch) : batch_(batch) {
    convolution("conv1", {"images", 1, 28}, {"a1", 24, 24}, false);
    max_pool("pool1", {"a1", 24, 24}, "p1");
    convolution("conv2", {"p1", 24, 12}, {"a2", 48, 8}, true);
    max_pool("pool2", {"a2", 48, 8}, "p2");
    dense("fc1", "p2", 768, "a3", 512, true);
    dense("fc2", "a3", 512, "logits", 10, false);
  }

  void run() {
    for (auto& block : blocks_)
      for (auto& primitive : block.forward) primitive.run();
    for (auto& block : std::views::reverse(blocks_))
      for (auto& primitive : block.backward) primitive.run();
  }

  [[nodiscard]] std::vector<Block>& blocks() { return blocks_; }

 private:
  struct Images {
    std::string name;
    std::int64_t channels, extent;
  };

  /// 5×5, every position that lies inside, with bias and ReLU.
  void convolution(const std::string& name, const Images& in, const Images& out, bool data_gradient) {
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const Dims src_dims{batch_, in.channels, in.extent, in.extent};
    // Images arrive as they are; what primitives make, they lay out as they like.
    const Desc src = in.channels == 1 ? plain(src_dims) : any_layout(src_dims);
    const Desc dst = any_layout({batch_, out.channels, out.extent, out.extent});
    const Desc weights = any_layout({out.channels, in.channels, 5, 5});
    const Desc bias = plain({out.channels});
    const Dims stride{1, 1};
    const Dims padding{0, 0};

    auto attributes = common_attributes();
    append_relu(attributes);
    const auto forward =
        describe<dnnl::convolution_forward>(engine_, attributes, dnnl::prop_kind::forward_training, algorithm,
                                            src, weights, bias, dst, stride, padding, padding);
    Block block;
    add(block.forward, name + " forward",
        {dnnl::convolution_forward(forward),
         stream_,
         {{DNNL_ARG_SRC, tensor(in.name, forward.src_desc())},
          {DNNL_ARG_WEIGHTS, tensor(name + ".weight", forward.weights_desc())},
          {DNNL_ARG_BIAS, tensor(name + ".bias", forward.bias_desc())},
          {DNNL_ARG_DST, tensor(out.name, forward.dst_desc())},
          scratch(forward)}});
    relu_backward(block.backward, name, out.name, forward.dst_desc());

    const auto by_weights = describe_backward<dnnl::convolution_backward_weights>(
        engine_, forward, algorithm, src, weights, bias, dst, stride, padding, padding);
    add(block.backward, name + " weight gradient",
        {dnnl::convolution_backward_weights(by_weights),
         stream_,
         {{DNNL_ARG_SRC, tensor(in.name, by_weights.src_desc())},
          {DNNL_ARG_DIFF_DST, tensor("d." + out.name, by_weights.diff_dst_desc())},
          {DNNL_ARG_DIFF_WEIGHTS, tensor("d." + name + ".weight", by_weights.diff_weights_desc())},
          {DNNL_ARG_DIFF_BIAS, tensor("d." + name + ".bias", by_weights.diff_bias_desc())},
          scratch(by_weights)}});
    if (data_gradient) {
      const auto by_data = describe_backward<dnnl::convolution_backward_data>(
          engine_, forward, algorithm, src, weights, dst, stride, padding, padding);
      add(block.backward, name + " data gradient",
          {dnnl::convolution_backward_data(by_data),
           stream_,
           {{DNNL_ARG_DIFF_DST, tensor("d." + out.name, by_data.diff_dst_desc())},
            {DNNL_ARG_WEIGHTS, tensor(name + ".weight", by_data.weights_desc())},
            {DNNL_ARG_DIFF_SRC, tensor("d." + in.name, by_data.diff_src_desc())},
            scratch(by_data)}});
    }
    blocks_.push_back(std::move(block));
  }

  /// 2×2 without overlap, in the layout that the convolution before it wrote.
  void max_pool(const std::string& name, const Images& in, const std::string& out) {
    const auto algorithm = dnnl::algorithm::pooling_max;
    const Window window{.stride = {2, 2}, .size = {2, 2}, .padding_before = {0, 0}, .padding_after = {0, 0}};
    const Desc src = layout_of(in.name);
    const Desc dst = any_layout({batch_, in.channels, in.extent / 2, in.extent / 2});
    const auto forward =
        describe_pooling(engine_, dnnl::prop_kind::forward_training, algorithm, src, dst, window);
    const dnnl::memory winners(forward.workspace_desc(), engine_);
    Block block;
    add(block.forward, name + " forward",
        {dnnl::pooling_forward(forward),
         stream_,
         {{DNNL_ARG_SRC, tensor(in.name, src)},
          {DNNL_ARG_DST, tensor(out, forward.dst_desc())},
          {DNNL_ARG_WORKSPACE, winners},
          scratch(forward)}});
    const auto backward =
        describe_pooling_backward(engine_, forward, algorithm, src, forward.dst_desc(), window);
    add(block.backward, name + " backward",
        {dnnl::pooling_backward(backward),
         stream_,
         {{DNNL_ARG_DIFF_DST, tensor("d." + out, backward.diff_dst_desc())},
          {DNNL_ARG_DIFF_SRC, tensor("d." + in.name, backward.diff_src_desc())},
          {DNNL_ARG_WORKSPACE, winners},
          scratch(backward)}});
    blocks_.push_back(std::move(block));
  }

  void dense(const std::string& name, const std::string& in, std::int64_t inputs, const std::string& out,
             std::int64_t units, bool relu) {
    const Desc src = any_layout({batch_, inputs});
    const Desc dst = any_layout({batch_, units});
    const Desc weights = any_layout({units, inputs});
    const Desc bias = plain({units});
    auto attributes = common_attributes();
    if (relu) append_relu(attributes);
    const auto forward = describe<dnnl::inner_product_forward>(
        engine_, attributes, dnnl::prop_kind::forward_training, src, weights, bias, dst);
    Block block;
    add(block.forward, name + " forward",
        {dnnl::inner_product_forward(forward),
         stream_,
         {{DNNL_ARG_SRC, tensor(in, forward.src_desc())},
          {DNNL_ARG_WEIGHTS, tensor(name + ".weight", forward.weights_desc())},
          {DNNL_ARG_BIAS, tensor(name + ".bias", forward.bias_desc())},
          {DNNL_ARG_DST, tensor(out, forward.dst_desc())},
          scratch(forward)}});
    if (relu) relu_backward(block.backward, name, out, forward.dst_desc());

    const auto by_weights =
        describe_backward<dnnl::inner_product_backward_weights>(engine_, forward, src, weights, bias, dst);
    add(block.backward, name + " weight gradient",
        {dnnl::inner_product_backward_weights(by_weights),
         stream_,
         {{DNNL_ARG_SRC, tensor(in, by_weights.src_desc())},
          {DNNL_ARG_DIFF_DST, tensor("d." + out, by_weights.diff_dst_desc())},
          {DNNL_ARG_DIFF_WEIGHTS, tensor("d." + name + ".weight", by_weights.diff_weights_desc())},
          {DNNL_ARG_DIFF_BIAS, tensor("d." + name + ".bias", by_weights.diff_bias_desc())},
          scratch(by_weights)}});
    const auto by_data =
        describe_backward<dnnl::inner_product_backward_data>(engine_, forward, src, weights, dst);
    add(block.backward, name + " data gradient",
        {dnnl::inner_product_backward_data(by_data),
         stream_,
         {{DNNL_ARG_DIFF_DST, tensor("d." + out, by_data.diff_dst_desc())},
          {DNNL_ARG_WEIGHTS, tensor(name + ".weight", by_data.weights_desc())},
          {DNNL_ARG_DIFF_SRC, tensor("d." + in, by_data.diff_src_desc())},
          scratch(by_data)}});
    blocks_.push_back(std::move(block));
  }

  void relu_backward(std::vector<Timed>& list, const std::string& name, const std::string& out,
                     const Desc& desc) {
    const auto algorithm = dnnl::algorithm::eltwise_relu_use_dst_for_bwd;
    const auto training = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
    const auto forward =
        describe<dnnl::eltwise_forward>(engine_, common_attributes(), training, algorithm, desc, desc);
    const auto backward =
        describe_backward<dnnl::eltwise_backward>(engine_, forward, algorithm, desc, desc, desc);
#else
    const auto forward =
        describe<dnnl::eltwise_forward>(engine_, common_attributes(), training, algorithm, desc, 0.0F);
    const auto backward =
        describe_backward<dnnl::eltwise_backward>(engine_, forward, algorithm, desc, desc, 0.0F);
#endif
    const dnnl::memory gradient = tensor("d." + out, desc);
    add(list, name + " ReLU backward",
        {dnnl::eltwise_backward(backward),
         stream_,
         {{DNNL_ARG_DST, tensor(out, desc)},
          {DNNL_ARG_DIFF_DST, gradient},
          {DNNL_ARG_DIFF_SRC, gradient},
          scratch(backward)}});
  }

  static void add(std::vector<Timed>& list, std::string name, Call call) {
    list.push_back({std::move(name), std::move(call), {}});
  }

  /// Scratch memory as an argument of the primitive that this descriptor makes.
  template <class PrimitiveDesc>
  [[nodiscard]] std::pair<int, dnnl::memory> scratch(const PrimitiveDesc& desc) const {
    const Desc wanted = desc.scratchpad_desc();
    return {DNNL_ARG_SCRATCHPAD, wanted.get_size() == 0 ? dnnl::memory() : dnnl::memory(wanted, engine_)};
  }

  /// The tensor of that name in that layout, filled with small random numbers. Primitives that agree on a
  /// layout share it.
  dnnl::memory tensor(const std::string& name, const Desc& desc) {
    for (const auto& [known, memory] : tensors_)
      if (known == name && memory.get_desc() == desc) return memory;
    dnnl::memory source(plain(dims_of(desc)), engine_);
    std::uniform_real_distribution<float> uniform(-0.1F, 0.1F);
    std::generate_n(floats(source), floats_of(source.get_desc()), [&] { return uniform(random_); });
    dnnl::memory memory(desc, engine_);
    dnnl::reorder(source, memory).execute(stream_, source, memory);
    stream_.wait();
    tensors_.emplace_back(name, memory);
    return memory;
  }

  [[nodiscard]] Desc layout_of(const std::string& name) const {
    return std::ranges::find(tensors_, name, &std::pair<std::string, dnnl::memory>::first)->second.get_desc();
  }

  std::int64_t batch_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::mt19937 random_{1};
  std::vector<std::pair<std::string, dnnl::memory>> tensors_;
  std::vector<Block> blocks_;
};

struct Options {
  int threads = 1;
  std::int64_t batch = 128;
  int steps = 30;
  bool json = false;
};

void benchmark(const Options& options) {
  omp_set_num_threads(options.threads);
  Step step(options.batch);
  for (int i = 0; i < 3; ++i) step.run();
  for (auto& block : step.blocks())
    for (auto* list : {&block.forward, &block.backward})
      for (auto& primitive : *list) primitive.milliseconds.clear();

  std::vector<double> milliseconds;
  for (int i = 0; i < options.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step.run();
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    milliseconds.push_back(elapsed.count());
  }

  nlohmann::ordered_json report = {{"step_milliseconds", median(milliseconds)},
                                   {"batch", options.batch},
                                   {"threads", options.threads},
                                   {"steps", options.steps},
                                   {"onednn", onednn_version()},
                                   {"instruction_set", cpu_instruction_set()}};
  for (const auto& block : step.blocks())
    for (const auto* list : {&block.forward, &block.backward})
      for (const auto& primitive : *list)
        report["primitives"][primitive.name] = median(primitive.milliseconds);
  if (options.json) {
    fmt::print("{}\n", report.dump(2));
    return;
  }
  for (const auto& [name, value] : report["primitives"].items())
    fmt::print("{:<24} {:8.3f} ms\n", name, value.get<double>());
  fmt::print("{:<24} {:8.3f} ms, median of {} steps of {} samples on {} threads, oneDNN {} ({})\n", "step",
             median(milliseconds), options.steps, options.batch, options.threads, onednn_version(),
             cpu_instruction_set());
}

}  // namespace
}  // namespace lockstep::device::cpu

int main(int argc, char** argv) {
  lockstep::device::cpu::Options options;
  CLI::App app{"The step time of oneDNN's primitives alone for the network in configs/mnist_cnn.yaml"};
  app.add_option("--threads", options.threads, "OpenMP threads of each primitive")
      ->check(CLI::Range(1, 1024));
  app.add_option("--batch", options.batch, "samples of a step")->check(CLI::Range(1, 1 << 20));
  app.add_option("--steps", options.steps, "measured, after three that are not")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--json", options.json, "print the result as JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    lockstep::device::cpu::benchmark(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "lockstep_onednn_benchmark: {}\n", error.what());
    return 70;
  }
  return 0;
}
