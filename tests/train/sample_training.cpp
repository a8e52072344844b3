#include "train/sample_training.h"

#include <fmt/format.h>

#include "config/parse.h"
#include "io/hdf5_samples.h"

namespace lockstep::testing {
namespace {

constexpr const char* every_layer = R"(
name: sample
data:
  train: {{file: '{0}', images: /train/x, labels: /train/y}}
  validation: {{file: '{0}', images: /test/x, labels: /test/y}}
  scale: 0.01
model:
  - conv2d: {{filters: 6, kernel: 3, padding: same}}
  - relu
  - max_pool: {{size: 2}}
  - conv2d: {{filters: 4, kernel: 3, stride: 2, padding: same}}
  - tanh
  - avg_pool: {{size: 2, stride: 1}}
  - flatten
  - dense: {{units: 7}}
  - sigmoid
  - dropout: {{rate: 0.25}}
  - dense: {{units: 4}}
loss: softmax_cross_entropy
optimizer: {{adamw: {{}}}}
schedule: {{cosine: {{}}, warmup_steps: 5}}
training: {{epochs: 2, batch: 32}}
)";

}  // namespace

std::string write_samples(const std::string& path, std::int64_t samples) {
  const auto pixel = [](std::int64_t i) { return static_cast<double>(i * 37 % 101); };
  const auto label = [](std::int64_t row) { return static_cast<double>(row % 4); };
  const auto images = [&](const char* name, std::int64_t count) {
    return SampleArray{.name = name, .type = H5T_IEEE_F32LE, .shape = {count, 1, 12, 12}, .value = pixel};
  };
  const auto labels = [&](const char* name, std::int64_t count) {
    return SampleArray{.name = name, .type = H5T_STD_I32LE, .shape = {count}, .value = label};
  };
  write_hdf5(path, {images("/train/x", samples), labels("/train/y", samples), images("/test/x", samples / 2),
                    labels("/test/y", samples / 2)});
  return path;
}

config::Experiment sample_experiment(const std::string& data, const std::vector<std::string>& overrides) {
  return config::parse(fmt::format(every_layer, data), "sample.yaml", overrides);
}

}  // namespace lockstep::testing
