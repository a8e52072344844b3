#include "models.h"

#include <fmt/format.h>

#include <utility>

#include "nn/layers/place.h"

namespace lockstep::testing {

config::Experiment experiment_of(std::vector<config::LayerSpec> specs) {
  config::Experiment experiment;
  experiment.source = "model.yaml";
  for (config::LayerSpec& spec : specs) {
    const std::size_t index = experiment.model.size();
    std::string name = fmt::format("{}_{}", nn::kind_of(spec), index);
    experiment.model.push_back({std::move(name), std::move(spec), {static_cast<int>(10 + index), 5}});
  }
  return experiment;
}

config::Experiment mnist_softmax() {
  return experiment_of({config::Flatten{}, dense(10)});
}

config::Experiment mnist_cnn() {
  return experiment_of({conv(24, 5), config::Relu{}, max_pool(2), conv(48, 5), config::Relu{}, max_pool(2),
                        config::Flatten{}, dense(512), config::Relu{}, dense(10)});
}

config::Conv2d conv(std::int64_t filters, std::int64_t kernel) {
  config::Conv2d settings;
  settings.filters = filters;
  settings.kernel = {kernel, kernel};
  return settings;
}

config::MaxPool max_pool(std::int64_t size) {
  config::MaxPool settings;
  settings.size = {size, size};
  return settings;
}

config::AvgPool avg_pool(std::int64_t size) {
  config::AvgPool settings;
  settings.size = {size, size};
  return settings;
}

config::Dense dense(std::int64_t units) {
  config::Dense settings;
  settings.units = units;
  return settings;
}

}  // namespace lockstep::testing
