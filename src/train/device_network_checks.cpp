// Networks on an accelerator against the CPU backend.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/philox.h"
#include "device/accelerated_backend.h"
#include "nn/graph.h"
#include "nn/init.h"
#include "train/device_checks.h"
#include "train/plan_check.h"

namespace lockstep::train {
namespace {

constexpr std::int64_t samples = 16, classes = 10;
/// Of the largest gradient of a tensor: sums of some thousand products, added in another order.
constexpr double bound = 1e-4;

struct Model {
  std::string name;
  Shape image;
  std::vector<config::LayerSpec> layers;
};

config::LayerSpec convolution(std::int64_t filters, config::Extent2 kernel, config::Extent2 stride = {1, 1},
                              const config::Padding& padding = {}) {
  config::Conv2d layer;
  layer.filters = filters;
  layer.kernel = kernel;
  layer.stride = stride;
  layer.padding = padding;
  return layer;
}

config::LayerSpec max_pool(config::Extent2 size) {
  config::MaxPool layer;
  layer.size = size;
  return layer;
}

std::vector<Model> models() {
  using namespace config;
  const Shape image{3, 13, 11};
  const Dense last{.units = classes};
  Padding same;
  same.kind = Padding::Kind::same;
  return {
      {"dense", image, {Flatten{}, Dense{.units = 33}, Relu{}, last}},
      {"convolution 5x5, ReLU, max-pooling",
       image,
       {convolution(8, {5, 5}), Relu{}, max_pool({2, 2}), Flatten{}, last}},
      {"convolution 3x3, padded, stride 2",
       image,
       {convolution(7, {3, 3}, {2, 2}, same), Tanh{}, Flatten{}, last}},
      {"convolution 2x3, padded unevenly",
       image,
       {convolution(5, {2, 3}, {1, 1}, same), Sigmoid{}, Flatten{}, last}},
      {"average pooling", image, {AvgPool{.size = {3, 2}, .stride = {}, .padding = same}, Flatten{}, last}},
      {"dropout", image, {Flatten{}, Dense{.units = 40}, Dropout{.rate = 0.4}, last}},
      {"two convolutions in a row",
       image,
       {convolution(6, {3, 3}), Relu{}, convolution(4, {3, 3}), Relu{}, Flatten{}, last}},
      {"MNIST softmax regression", {1, 28, 28}, {Flatten{}, last}},
      {"MNIST CNN",
       {1, 28, 28},
       {convolution(24, {5, 5}), Relu{}, max_pool({2, 2}), convolution(48, {5, 5}), Relu{}, max_pool({2, 2}),
        Flatten{}, Dense{.units = 512}, Relu{}, last}},
  };
}

device::Network network_of(const Model& model) {
  config::Experiment experiment;
  for (std::size_t i = 0; i < model.layers.size(); ++i)
    experiment.model.push_back({fmt::format("layer{}", i + 1), model.layers[i], {}});
  return nn::build_network(experiment, model.image, classes);
}

struct Result {
  AlignedBuffer<float> gradient;
  device::Totals totals;
};

Result run(device::Backend& backend, const device::Network& network) {
  Result result{AlignedBuffer<float>(static_cast<std::size_t>(network.parameters.slab_size())), {}};
  const AlignedBuffer<float> weights(result.gradient.size());
  generate_weights(network.parameters, weights.span());
  std::vector<float> images(static_cast<std::size_t>(samples * network.input.count()));
  nn::fill(config::UniformInit{1}, {}, RandomKey(1, Purpose::plan_check, 0), images);
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < samples; ++i) {
    labels.push_back(static_cast<std::int32_t>(i * 7 % classes));
    rows.push_back(i);
  }
  const auto plan = backend.plan(network, samples, device::Mode::training);
  plan->load_weights(weights.span());
  result.totals = plan->make_runner()->train(
      {.images = images.data(), .labels = labels.data(), .rows = rows.data(), .epoch = 1},
      result.gradient.span());
  return result;
}

/// Infinite where either is no number.
double distance(double a, double b) {
  const double difference = std::fabs(a - b);
  return std::isfinite(difference) ? difference : std::numeric_limits<double>::infinity();
}

double largest(std::span<const float> values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::fabs(static_cast<double>(value)));
  return most;
}

Check check_network(const Model& model, device::Backend& accelerated, device::Backend& cpu) {
  const device::Network network = network_of(model);
  const Result device = run(accelerated, network);
  const Result host = run(cpu, network);
  double worst = distance(device.totals.loss, host.totals.loss) / host.totals.loss;
  std::string where = "the loss";
  for (const Parameter& parameter : network.parameters.all()) {
    const auto part = [&](const Result& result) {
      return result.gradient.span().subspan(static_cast<std::size_t>(parameter.offset),
                                            static_cast<std::size_t>(parameter.count));
    };
    const double scale = largest(part(host));
    for (std::size_t i = 0; i < part(host).size(); ++i) {
      const double error = distance(part(device)[i], part(host)[i]) / scale;
      if (error <= worst) continue;
      worst = error;
      where = "the gradient of " + parameter.name;
    }
  }
  return {model.name, worst <= bound, fmt::format("off by at most {:.1e}, in {}", worst, where)};
}

}  // namespace

void check_networks(device::Accelerator& accelerator, const TakeCheck& take) {
  device::AcceleratedBackend accelerated(accelerator, {});
  const auto cpu = device::make_cpu_backend();
  for (const Model& model : models())
    take(attempt(model.name, [&] { return check_network(model, accelerated, *cpu); }));
}

}  // namespace lockstep::train
