#include "nn/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "models.h"
#include "nn/graph.h"

namespace lockstep::nn {
namespace {

using testing::conv;
using testing::dense;
using testing::experiment_of;

const RandomKey key(7, Purpose::initialization, 6);
constexpr Fans fans = {.in = 300, .out = 100};

std::vector<float> filled(const config::Init& init, std::size_t count = 200'000) {
  std::vector<float> values(count, 99.0F);
  fill(init, fans, key, values);
  return values;
}

double mean(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Mean of the power-th powers of value / scale.
double moment(const std::vector<float>& values, int power, double scale) {
  double sum = 0;
  for (const float value : values) sum += std::pow(value / scale, power);
  return sum / static_cast<double>(values.size());
}

/// 200,000 numbers: the bounds on the moments are some five standard errors wide.
void expect_uniform(const config::Init& init, double limit) {
  const std::vector<float> values = filled(init);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  EXPECT_GE(*low, static_cast<float>(-limit));
  EXPECT_LT(*high, static_cast<float>(limit));
  EXPECT_LT(*low, -0.9999 * limit);
  EXPECT_GT(*high, 0.9999 * limit);
  EXPECT_NEAR(mean(values) / limit, 0, 0.007);
  EXPECT_NEAR(moment(values, 2, limit), 1.0 / 3, 0.004);
  EXPECT_NEAR(moment(values, 4, limit), 1.0 / 5, 0.004);
}

void expect_normal(const config::Init& init, double stddev) {
  const std::vector<float> values = filled(init);
  EXPECT_NEAR(mean(values) / stddev, 0, 0.012);
  EXPECT_NEAR(moment(values, 2, stddev), 1, 0.016);
  EXPECT_NEAR(moment(values, 3, stddev), 0, 0.045);
  EXPECT_NEAR(moment(values, 4, stddev), 3, 0.12);
  EXPECT_TRUE(std::any_of(values.begin(), values.end(), [&](float x) { return std::abs(x) > 3.5 * stddev; }))
      << "tails are not cut";
}

TEST(Fill, UniformLiesBetweenItsLimits) {
  expect_uniform(config::UniformInit{0.1}, 0.1);
  expect_uniform(config::HeUniformInit{}, std::sqrt(6.0 / 300));
  expect_uniform(config::GlorotUniformInit{}, std::sqrt(6.0 / 400));
}

TEST(Fill, NormalHasTheMomentsOfANormalDistribution) {
  expect_normal(config::NormalInit{0.05}, 0.05);
  expect_normal(config::HeNormalInit{}, std::sqrt(2.0 / 300));
  expect_normal(config::GlorotNormalInit{}, std::sqrt(2.0 / 400));
}

TEST(Fill, ConstantAndZeros) {
  EXPECT_EQ(filled(config::ConstantInit{0.25}, 5), std::vector<float>(5, 0.25F));
  EXPECT_EQ(filled(config::ZerosInit{}, 5), std::vector<float>(5, 0.0F));
}

// Computed by an independent implementation (Python's statistics.NormalDist). A seed must give the same
// weights in every later release and on every machine.
TEST(Fill, GivesTheNumbersOfTheFirstRelease) {
  EXPECT_EQ(filled(config::UniformInit{0.1}, 4),
            (std::vector<float>{-0x1.295566p-7F, -0x1.668454p-4F, -0x1.65e01ap-6F, -0x1.4330f4p-5F}));
  EXPECT_EQ(filled(config::NormalInit{0.5}, 4),
            (std::vector<float>{-0x1.d2d2ecp-5F, -0x1.890834p-1F, -0x1.1bed84p-3F, -0x1.087784p-2F}));
}

TEST(Fill, ElementsDoNotDependOnHowManyThereAre) {
  const std::vector<float> many = filled(config::HeNormalInit{}, 1000);
  const std::vector<float> few = filled(config::HeNormalInit{}, 10);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

/// The initial weights of a model, tensor by tensor.
class Weights {
 public:
  explicit Weights(const config::Experiment& experiment, const Shape& image = {1, 8, 8})
      : network_(build_network(experiment, image, 3)),
        slab_(static_cast<std::size_t>(network_.parameters.slab_size()), 99.0F) {
    initialize_weights(experiment, network_, slab_);
  }

  [[nodiscard]] std::vector<float> tensor(const std::string& name) const {
    for (const Parameter& parameter : network_.parameters.all())
      if (parameter.name == name)
        return {slab_.begin() + parameter.offset, slab_.begin() + parameter.offset + parameter.count};
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  [[nodiscard]] const std::vector<float>& slab() const { return slab_; }
  [[nodiscard]] const device::Network& network() const { return network_; }

 private:
  device::Network network_;
  std::vector<float> slab_;
};

config::Experiment small_model(std::int64_t units) {
  config::Conv2d convolution = conv(5, 3);
  convolution.init = config::UniformInit{0.1};
  convolution.bias_init = config::UniformInit{0.1};
  config::Dense last = dense(3);
  last.init = config::NormalInit{0.5};
  last.bias_init = config::NormalInit{0.5};
  config::Experiment experiment =
      experiment_of({convolution, config::Flatten{}, dense(units), config::Relu{}, last});
  experiment.seed = 7;
  return experiment;
}

TEST(InitializeWeights, StreamsAreTwiceTheLayersPlaceAndOneMoreForTheBias) {
  const Weights weights(small_model(7));
  const std::vector<float> weight = weights.tensor("conv2d_0.weight");
  const std::vector<float> bias = weights.tensor("conv2d_0.bias");
  EXPECT_EQ(std::vector<float>(weight.begin(), weight.begin() + 4),
            (std::vector<float>{0x1.69eab4p-7F, -0x1.53aa8p-5F, 0x1.e3baf4p-5F, 0x1.752076p-4F}));
  EXPECT_EQ(std::vector<float>(bias.begin(), bias.begin() + 4),
            (std::vector<float>{-0x1.c9c9d4p-5F, -0x1.874cccp-11F, -0x1.ad2aa6p-5F, -0x1.a5e4b4p-5F}));
}

TEST(InitializeWeights, ResizingOneLayerLeavesTheOthersAsTheyWere) {
  const Weights small(small_model(7));
  const Weights large(small_model(70));
  for (const char* const name : {"conv2d_0.weight", "conv2d_0.bias", "dense_4.bias"})
    EXPECT_EQ(small.tensor(name), large.tensor(name)) << name;
  const std::vector<float> few = small.tensor("dense_4.weight");
  const std::vector<float> many = large.tensor("dense_4.weight");
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin())) << "element i is a function of i";
}

TEST(InitializeWeights, AreAFunctionOfTheSeed) {
  config::Experiment experiment = small_model(7);
  EXPECT_EQ(Weights(experiment).slab(), Weights(experiment).slab());
  const std::vector<float> before = Weights(experiment).tensor("dense_4.weight");
  experiment.seed = 8;
  EXPECT_NE(Weights(experiment).tensor("dense_4.weight"), before);
}

TEST(InitializeWeights, LayersOfTheSameShapeGetNumbersOfTheirOwn) {
  const Weights weights(experiment_of({config::Flatten{}, dense(64), dense(64)}));
  EXPECT_NE(weights.tensor("dense_1.weight"), weights.tensor("dense_2.weight"));
}

TEST(InitializeWeights, WidthsAreTheFansOfTheLayer) {
  config::Conv2d convolution = conv(40, 5);
  convolution.init = config::HeUniformInit{};
  convolution.bias_init = config::GlorotUniformInit{};
  config::Dense layer = dense(3);
  layer.init = config::GlorotUniformInit{};
  layer.bias_init = config::HeUniformInit{};
  const Weights weights(experiment_of({convolution, config::Flatten{}, layer}), {6, 8, 8});
  const auto expect_limit = [&](const std::string& name, double limit) {
    float largest = 0;
    for (const float value : weights.tensor(name)) largest = std::max(largest, std::abs(value));
    EXPECT_LE(largest, limit) << name;
    EXPECT_GT(largest, 0.85 * limit) << name;
  };
  expect_limit("conv2d_0.weight", std::sqrt(6.0 / (6 * 25)));
  expect_limit("conv2d_0.bias", std::sqrt(6.0 / (6 * 25 + 40 * 25)));
  expect_limit("dense_2.weight", std::sqrt(6.0 / (40 * 16 + 3)));
}

TEST(InitializeWeights, GapsAreZeros) {
  const Weights weights(small_model(7));
  std::vector<bool> used(weights.slab().size(), false);
  for (const Parameter& parameter : weights.network().parameters.all())
    std::fill_n(used.begin() + parameter.offset, parameter.count, true);
  int gaps = 0;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    ++gaps;
    EXPECT_EQ(weights.slab()[i], 0.0F) << i;
  }
  EXPECT_GT(gaps, 0);
}

TEST(InitializeWeights, BiasesAreZerosUnlessToldOtherwise) {
  const Weights weights(experiment_of({config::Flatten{}, dense(64)}));
  EXPECT_EQ(weights.tensor("dense_1.bias"), std::vector<float>(64, 0.0F));
}

TEST(InitializeWeights, RefusesASlabOfAnotherSize) {
  const config::Experiment experiment = small_model(7);
  const device::Network network = build_network(experiment, {1, 8, 8}, 3);
  std::vector<float> slab(static_cast<std::size_t>(network.parameters.count()));
  EXPECT_THROW(initialize_weights(experiment, network, slab), Error);
}

}  // namespace
}  // namespace lockstep::nn
