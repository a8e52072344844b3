// A model of every kind of layer, from experiment to gradient on the CPU backend: what build_network makes is
// what the backend computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "base/philox.h"
#include "device/backend.h"
#include "models.h"
#include "nn/graph.h"

namespace lockstep::nn {
namespace {

constexpr std::int64_t samples = 3;
constexpr std::int64_t classes = 4;

config::Experiment every_kind_of_layer(config::Loss loss) {
  config::Conv2d first = testing::conv(4, 3);
  first.padding.kind = config::Padding::Kind::same;
  config::Conv2d second = testing::conv(5, 2);
  config::AvgPool average = testing::avg_pool(2);
  average.padding = {config::Padding::Kind::numbers, 0, 1, 1, 0};
  config::Experiment experiment = testing::experiment_of(
      {first, config::Relu{}, testing::max_pool(2), second, config::Tanh{}, average, config::Flatten{},
       testing::dense(6), config::Sigmoid{}, config::Dropout{0.3}, testing::dense(classes)});
  for (config::Layer& layer : experiment.model) {  // biases that differ from each other
    if (auto* convolution = std::get_if<config::Conv2d>(&layer.spec))
      convolution->bias_init = config::NormalInit{0.3};
    if (auto* dense = std::get_if<config::Dense>(&layer.spec)) dense->bias_init = config::NormalInit{0.3};
  }
  experiment.seed = 11;
  experiment.loss = loss;
  return experiment;
}

/// The loss of one shard as a function of the weights.
class Model {
 public:
  explicit Model(const config::Experiment& experiment)
      : network_(build_network(experiment, {2, 7, 9}, classes)),
        weights_(static_cast<std::size_t>(network_.parameters.slab_size())),
        gradient_(weights_.size()),
        plan_(backend_->plan(network_, samples, device::Mode::training)),
        runner_(plan_->make_runner()) {
    initialize_weights(experiment, network_, weights_);
    const RandomKey key(5, Purpose::shuffle, 0);
    images_.resize(static_cast<std::size_t>(samples * network_.input.count()));
    for (std::size_t i = 0; i < images_.size(); ++i) images_[i] = unit_float(key.words(0, i, 0)[0]);
  }

  double loss() {
    plan_->load_weights(weights_);
    const device::ShardInput input = {
        .images = images_.data(), .labels = labels_.data(), .rows = rows_.data(), .epoch = 2};
    return runner_->train(input, gradient_).loss;
  }

  /// (loss(w + h) − loss(w − h)) / 2h in one weight.
  double difference_quotient(std::size_t index, float h) {
    const float weight = weights_[index];
    weights_[index] = weight + h;
    const double above = loss();
    weights_[index] = weight - h;
    const double below = loss();
    const double width = static_cast<double>(weight + h) - static_cast<double>(weight - h);
    weights_[index] = weight;
    return (above - below) / width;
  }

  [[nodiscard]] const Parameters& parameters() const { return network_.parameters; }
  [[nodiscard]] const std::vector<float>& gradient() const { return gradient_; }

 private:
  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
  device::Network network_;
  std::vector<float> weights_;
  std::vector<float> gradient_;
  std::unique_ptr<device::Plan> plan_;
  std::unique_ptr<device::ShardRunner> runner_;
  std::vector<float> images_;
  std::vector<std::int32_t> labels_ = {2, 0, 3};
  std::vector<std::int64_t> rows_ = {5, 1'000'000, 17};
};

// Small enough that with these images and weights no ReLU switches and no maximum moves to another cell,
// where the loss has a kink; large enough that the rounding of the loss, some 3e-7, stays below the
// tolerance.
constexpr float step = 1e-3F;

void expect_gradient_of_loss(config::Loss loss) {
  Model model(every_kind_of_layer(loss));
  ASSERT_GT(model.loss(), 0);
  const std::vector<float> gradient = model.gradient();
  for (const Parameter& parameter : model.parameters().all()) {
    float largest = 0;
    for (std::int64_t i = 0; i < parameter.count; ++i)
      largest = std::max(largest, std::abs(gradient[static_cast<std::size_t>(parameter.offset + i)]));
    EXPECT_GT(largest, 1e-3F) << parameter.name << " matters";
    for (std::int64_t i = 0; i < parameter.count; ++i) {
      const auto index = static_cast<std::size_t>(parameter.offset + i);
      EXPECT_NEAR(gradient[index], model.difference_quotient(index, step), 0.004F * largest + 2e-4F)
          << parameter.name << '[' << i << ']';
    }
  }
}

TEST(WholeNetwork, GradientOfCrossEntropyMatchesFiniteDifferences) {
  expect_gradient_of_loss(config::Loss::softmax_cross_entropy);
}

TEST(WholeNetwork, GradientOfSquaredErrorMatchesFiniteDifferences) {
  expect_gradient_of_loss(config::Loss::mean_squared_error);
}

}  // namespace
}  // namespace lockstep::nn
