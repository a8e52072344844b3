#include "nn/graph.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "models.h"

namespace lockstep::nn {
namespace {

using device::Conv2dOp;
using device::DropoutOp;
using device::Network;
using device::Pool2dOp;
using testing::conv;
using testing::dense;
using testing::experiment_of;

constexpr std::int64_t classes = 10;

Network mnist_cnn() {
  return build_network(testing::mnist_cnn(), {1, 28, 28}, classes);
}

TEST(BuildNetwork, MnistCnnHasThePublishedShapesAndParameters) {
  const Network network = mnist_cnn();
  std::vector<std::string> shapes;
  for (const device::Node& node : network.nodes) shapes.push_back(node.out.text());
  EXPECT_EQ(shapes, (std::vector<std::string>{"24×24×24", "24×24×24", "24×12×12", "48×8×8", "48×8×8",
                                              "48×4×4", "768", "512", "512", "10"}));
  EXPECT_EQ(network.parameters.count(), 428'330);
  EXPECT_EQ(network.classes, 10);
  EXPECT_EQ(network.input, (Shape{1, 28, 28}));
}

TEST(BuildNetwork, MnistSoftmaxHas7850Parameters) {
  EXPECT_EQ(build_network(testing::mnist_softmax(), {1, 28, 28}, classes).parameters.count(), 7'850);
}

TEST(BuildNetwork, MnistCnnNeedsThePublishedMultiplyAdds) {
  device::MultiplyAdds total;
  const Network network = mnist_cnn();
  for (const device::Node& node : network.nodes) {
    const device::MultiplyAdds one = device::multiply_adds(node.op, &node == network.nodes.data());
    total.forward += one.forward;
    total.weight_gradient += one.weight_gradient;
    total.data_gradient += one.data_gradient;
  }
  EXPECT_EQ(total.forward, 2'587'136);
  EXPECT_EQ(total.weight_gradient, 2'587'136);
  EXPECT_EQ(total.data_gradient, 2'241'536);
}

TEST(BuildNetwork, EachNodeTakesWhatTheOneBeforeGives) {
  const Network network = mnist_cnn();
  Shape before = network.input;
  for (const device::Node& node : network.nodes) {
    EXPECT_EQ(node.in, before) << node.name;
    before = node.out;
  }
}

TEST(BuildNetwork, ParametersLieInTheOrderInWhichBackwardFinishes) {
  const Network network = mnist_cnn();
  std::vector<std::string> names;
  for (const Parameter& parameter : network.parameters.all()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"dense_9.weight", "dense_9.bias", "dense_7.weight",
                                             "dense_7.bias", "conv2d_3.weight", "conv2d_3.bias",
                                             "conv2d_0.weight", "conv2d_0.bias"}));
  EXPECT_EQ(network.parameters[2].shape, (Shape{512, 768})) << "out × in";
  EXPECT_EQ(network.parameters[4].shape, (Shape{48, 24, 5, 5})) << "OIHW";
  EXPECT_EQ(network.parameters[5].shape, (Shape{48}));
}

TEST(BuildNetwork, OperationsPointAtTheirOwnTensors) {
  const Network network = mnist_cnn();
  const auto& convolution = std::get<Conv2dOp>(network.nodes[3].op);
  EXPECT_EQ(network.parameters[convolution.weight].name, "conv2d_3.weight");
  EXPECT_EQ(network.parameters[convolution.bias].name, "conv2d_3.bias");
  const auto& last = std::get<device::DenseOp>(network.nodes[9].op);
  EXPECT_EQ(network.parameters[last.weight].name, "dense_9.weight");
  EXPECT_EQ(network.parameters[last.bias].name, "dense_9.bias");
}

TEST(BuildNetwork, LayersWithoutABiasDeclareNone) {
  config::Conv2d convolution = conv(3, 2);
  convolution.bias = false;
  config::Dense layer = dense(4);
  layer.bias = false;
  const Network network = build_network(experiment_of({convolution, config::Flatten{}, layer}), {2, 5, 4}, 4);
  ASSERT_EQ(network.parameters.all().size(), 2U);
  EXPECT_EQ(std::get<Conv2dOp>(network.nodes[0].op).bias, -1);
  EXPECT_EQ(std::get<device::DenseOp>(network.nodes[2].op).bias, -1);
  EXPECT_EQ(std::get<device::DenseOp>(network.nodes[2].op).in, 3 * 4 * 3);
}

TEST(BuildNetwork, ConvolutionKeepsHeightAndWidthApart) {
  config::Conv2d convolution;
  convolution.filters = 6;
  convolution.kernel = {3, 5};
  convolution.stride = {2, 1};
  convolution.padding = {config::Padding::Kind::numbers, 1, 0, 2, 4};
  const Network network =
      build_network(experiment_of({convolution, config::Flatten{}, dense(2)}), {3, 9, 11}, 2);
  const auto& op = std::get<Conv2dOp>(network.nodes[0].op);
  EXPECT_EQ(op.in_channels, 3);
  EXPECT_EQ(op.in_height, 9);
  EXPECT_EQ(op.in_width, 11);
  EXPECT_EQ(op.out_channels, 6);
  EXPECT_EQ(op.out_height, (9 + 1 - 3) / 2 + 1);
  EXPECT_EQ(op.out_width, 11 + 2 + 4 - 5 + 1);
  EXPECT_EQ(op.kernel_height, 3);
  EXPECT_EQ(op.kernel_width, 5);
  EXPECT_EQ(op.stride_height, 2);
  EXPECT_EQ(op.stride_width, 1);
  EXPECT_EQ(op.pad_top, 1);
  EXPECT_EQ(op.pad_bottom, 0);
  EXPECT_EQ(op.pad_left, 2);
  EXPECT_EQ(op.pad_right, 4);
  EXPECT_EQ(network.nodes[0].out, (Shape{6, 4, 13}));
}

TEST(BuildNetwork, PoolsMoveByTheirSizeUnlessAStrideIsGiven) {
  config::AvgPool average = testing::avg_pool(3);
  average.stride = {2, 1};
  average.padding.kind = config::Padding::Kind::same;
  const Network network = build_network(
      experiment_of({testing::max_pool(2), average, config::Flatten{}, dense(2)}), {4, 12, 10}, 2);
  const auto& first = std::get<Pool2dOp>(network.nodes[0].op);
  EXPECT_EQ(first.kind, Pool2dOp::Kind::max);
  EXPECT_EQ(first.channels, 4);
  EXPECT_EQ(first.stride_height, 2);
  EXPECT_EQ(first.stride_width, 2);
  EXPECT_EQ(network.nodes[0].out, (Shape{4, 6, 5}));
  const auto& second = std::get<Pool2dOp>(network.nodes[1].op);
  EXPECT_EQ(second.kind, Pool2dOp::Kind::average);
  EXPECT_EQ(second.stride_height, 2);
  EXPECT_EQ(second.stride_width, 1);
  EXPECT_EQ(second.pad_top, 0);
  EXPECT_EQ(second.pad_bottom, 1);
  EXPECT_EQ(second.pad_left, 1);
  EXPECT_EQ(second.pad_right, 1);
  EXPECT_EQ(network.nodes[1].out, (Shape{4, 3, 5}));
}

TEST(BuildNetwork, ElementwiseLayersKeepTheShape) {
  const Network network =
      build_network(experiment_of({config::Relu{}, config::Tanh{}, config::Sigmoid{}, config::Dropout{0.25},
                                   config::Flatten{}, config::Tanh{}, dense(2)}),
                    {3, 4, 5}, 2);
  using Function = device::ActivationOp::Kind;
  const std::vector<Function> functions = {Function::relu, Function::tanh, Function::sigmoid};
  for (std::size_t i = 0; i < functions.size(); ++i) {
    const auto& op = std::get<device::ActivationOp>(network.nodes[i].op);
    EXPECT_EQ(op.kind, functions[i]);
    EXPECT_EQ(op.count, 60);
    EXPECT_EQ(network.nodes[i].out, (Shape{3, 4, 5}));
  }
  EXPECT_EQ(std::get<DropoutOp>(network.nodes[3].op).count, 60);
  EXPECT_EQ(std::get<DropoutOp>(network.nodes[3].op).rate, 0.25);
  EXPECT_EQ(std::get<device::FlattenOp>(network.nodes[4].op).count, 60);
  EXPECT_EQ(network.nodes[5].out, (Shape{60}));
}

TEST(BuildNetwork, DropoutLayersGetStreamsOfTheirOwn) {
  const Network network = build_network(
      experiment_of({config::Dropout{}, config::Flatten{}, config::Dropout{}, dense(3), config::Dropout{}}),
      {1, 2, 2}, 3);
  EXPECT_EQ(std::get<DropoutOp>(network.nodes[0].op).stream, 0U);
  EXPECT_EQ(std::get<DropoutOp>(network.nodes[2].op).stream, 1U);
  EXPECT_EQ(std::get<DropoutOp>(network.nodes[4].op).stream, 2U);
}

TEST(BuildNetwork, TakesLossAndSeedFromTheExperiment) {
  config::Experiment experiment = testing::mnist_softmax();
  experiment.loss = config::Loss::mean_squared_error;
  experiment.seed = 123'456'789'012;
  const Network network = build_network(experiment, {1, 28, 28}, classes);
  EXPECT_EQ(network.loss, config::Loss::mean_squared_error);
  EXPECT_EQ(network.seed, 123'456'789'012U);
}

TEST(BuildNetwork, MoreOutputsThanClassesAreFine) {
  EXPECT_EQ(build_network(testing::mnist_softmax(), {1, 28, 28}, 7).classes, 10);
}

}  // namespace
}  // namespace lockstep::nn
