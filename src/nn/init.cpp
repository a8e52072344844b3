#include "nn/init.h"

#include <algorithm>
#include <cmath>
#include <concepts>

#include "base/check.h"
#include "nn/graph.h"
#include "nn/normal_quantile.h"
#include "nn/overloaded.h"

namespace lockstep::nn {
namespace {

void fill_uniform(double limit, const RandomKey& key, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double unit = unit_float(key.words(0, i, 0)[0]);
    values[i] = static_cast<float>(limit * (2 * unit - 1));
  }
}

void fill_normal(double stddev, const RandomKey& key, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto words = key.words(0, i, 0);
    values[i] = static_cast<float>(stddev * normal_quantile(open_unit_double(words[0], words[1])));
  }
}

void fill_constant(double value, std::span<float> values) {
  std::fill(values.begin(), values.end(), static_cast<float>(value));
}

/// Writes the tensors of one layer. A kind of layer with weights gets an operator() of its own.
struct LayerFiller {
  const config::Experiment& experiment;
  const device::Network& network;
  std::size_t index;
  std::span<float> slab;

  void operator()(const config::Conv2d& settings) const {
    const auto& op = std::get<device::Conv2dOp>(network.nodes[index].op);
    const auto kernel = static_cast<double>(op.kernel_height * op.kernel_width);
    const Fans fans = {static_cast<double>(op.in_channels) * kernel,
                       static_cast<double>(op.out_channels) * kernel};
    fill_tensors(op.weight, settings.init, op.bias, settings.bias_init, fans);
  }

  void operator()(const config::Dense& settings) const {
    const auto& op = std::get<device::DenseOp>(network.nodes[index].op);
    const Fans fans = {static_cast<double>(op.in), static_cast<double>(op.out)};
    fill_tensors(op.weight, settings.init, op.bias, settings.bias_init, fans);
  }

  /// Kinds without weights are listed, so that a new kind does not compile until someone thought of it.
  template <class Settings>
    requires(std::same_as<Settings, config::MaxPool> || std::same_as<Settings, config::AvgPool> ||
             std::same_as<Settings, config::Relu> || std::same_as<Settings, config::Tanh> ||
             std::same_as<Settings, config::Sigmoid> || std::same_as<Settings, config::Flatten> ||
             std::same_as<Settings, config::Dropout>)
  void operator()(const Settings&) const {}

 private:
  void fill_tensors(int weight, const config::Init& weight_init, int bias, const config::Init& bias_init,
                    Fans fans) const {
    fill_tensor(weight, weight_init, fans, 0);
    if (bias >= 0) fill_tensor(bias, bias_init, fans, 1);
  }

  /// Streams depend on the layer's place alone, so resizing one layer leaves the numbers of the others as
  /// they were.
  void fill_tensor(int parameter, const config::Init& init, Fans fans, std::uint32_t which) const {
    const Parameter& tensor = network.parameters[parameter];
    const RandomKey key(experiment.seed, Purpose::initialization,
                        2 * static_cast<std::uint32_t>(index) + which);
    fill(init, fans, key,
         slab.subspan(static_cast<std::size_t>(tensor.offset), static_cast<std::size_t>(tensor.count)));
  }
};

}  // namespace

void fill(const config::Init& init, Fans fans, const RandomKey& key, std::span<float> values) {
  const double he_variance = 2 / fans.in;
  const double glorot_variance = 2 / (fans.in + fans.out);
  std::visit(
      overloaded(
          [&](const config::UniformInit& uniform) { fill_uniform(uniform.limit, key, values); },
          [&](const config::NormalInit& normal) { fill_normal(normal.stddev, key, values); },
          [&](const config::ConstantInit& constant) { fill_constant(constant.value, values); },
          [&](const config::ZerosInit&) { fill_constant(0, values); },
          [&](const config::HeUniformInit&) { fill_uniform(std::sqrt(3 * he_variance), key, values); },
          [&](const config::HeNormalInit&) { fill_normal(std::sqrt(he_variance), key, values); },
          [&](const config::GlorotUniformInit&) {
            fill_uniform(std::sqrt(3 * glorot_variance), key, values);
          },
          [&](const config::GlorotNormalInit&) { fill_normal(std::sqrt(glorot_variance), key, values); }),
      init);
}

void initialize_weights(const config::Experiment& experiment, const device::Network& network,
                        std::span<float> weights) {
  check(static_cast<std::int64_t>(weights.size()) == network.parameters.slab_size(),
        "weights are a whole slab");
  check(experiment.model.size() == network.nodes.size(), "the network was built from this experiment");
  fill_constant(0, weights);
  for (std::size_t index = 0; index < experiment.model.size(); ++index)
    std::visit(LayerFiller{experiment, network, index, weights}, experiment.model[index].spec);
}

}  // namespace lockstep::nn
