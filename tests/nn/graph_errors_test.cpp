#include <gtest/gtest.h>

#include <limits>
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

/// The message with which a model is refused; "" if it is not.
std::string refusal(const config::Experiment& experiment, const Shape& image = {1, 28, 28},
                    std::int64_t classes = 10) {
  try {
    build_network(experiment, image, classes);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config) << error.what();
    return error.what();
  }
}

std::string refusal(std::vector<config::LayerSpec> layers, const Shape& image = {1, 28, 28}) {
  return refusal(experiment_of(std::move(layers)), image);
}

config::Conv2d padded_conv(std::int64_t kernel, std::int64_t top, std::int64_t bottom, std::int64_t left,
                           std::int64_t right) {
  config::Conv2d settings = conv(4, kernel);
  settings.padding = {config::Padding::Kind::numbers, top, bottom, left, right};
  return settings;
}

TEST(ModelErrors, DenseOnImagesAsksForFlatten) {
  EXPECT_EQ(
      refusal({conv(48, 5), testing::max_pool(2), dense(512)}),
      "model.yaml:12:5: layer 2 'dense_2' (dense): needs inputs with one axis, got 48×12×12 from layer 1 "
      "'max_pool_1'; put `flatten` before it");
  EXPECT_EQ(refusal({dense(10)}),
            "model.yaml:10:5: layer 0 'dense_0' (dense): needs inputs with one axis, got 1×28×28 from the "
            "images; put "
            "`flatten` before it");
}

TEST(ModelErrors, ConvolutionAndPoolingNeedImages) {
  EXPECT_EQ(
      refusal({config::Flatten{}, conv(4, 3), dense(10)}),
      "model.yaml:11:5: layer 1 'conv2d_1' (conv2d): needs images of channels × height × width, got 784 from "
      "layer 0 'flatten_0'; put it before `flatten` and `dense`");
  EXPECT_EQ(refusal({testing::avg_pool(2)}, {784}),
            "model.yaml:10:5: layer 0 'avg_pool_0' (avg_pool): needs images of channels × height × width, "
            "got 784 from "
            "the images; put it before `flatten` and `dense`");
}

TEST(ModelErrors, WindowsLargerThanThePaddedImage) {
  EXPECT_EQ(
      refusal({testing::max_pool(7), padded_conv(7, 1, 0, 6, 6)}),
      "model.yaml:11:5: layer 1 'conv2d_1' (conv2d): needs images of at least 6×1 for its kernel of 7×7, got "
      "1×4×4 from layer 0 'max_pool_0'; make the kernel smaller, pad the images (`padding: same`), or shrink "
      "them less before");
  EXPECT_NE(refusal({conv(2, 26), testing::max_pool(4)})
                .find("layer 1 'max_pool_1' (max_pool): needs images of at least 4×4 for its window of 4×4, "
                      "got 2×3×3"),
            std::string::npos);
}

TEST(ModelErrors, PaddingAsLargeAsTheWindow) {
  EXPECT_EQ(refusal({padded_conv(5, 5, 0, 0, 0)}),
            "model.yaml:10:5: layer 0 'conv2d_0' (conv2d): padding of 5 at the top must be smaller than the "
            "kernel, "
            "which is 5 high");
  EXPECT_NE(refusal({padded_conv(5, 0, 6, 0, 0)}).find("6 at the bottom"), std::string::npos);
  EXPECT_NE(refusal({padded_conv(5, 0, 0, 7, 0)}).find("7 at the left"), std::string::npos);
  EXPECT_NE(refusal({padded_conv(5, 0, 0, 0, 8)})
                .find("8 at the right must be smaller than the kernel, which is 5 wide"),
            std::string::npos);
}

TEST(ModelErrors, FewerOutputsThanClasses) {
  EXPECT_EQ(refusal({config::Flatten{}, dense(9)}),
            "model.yaml:11:5: layer 1 'dense_1' (dense): is the last layer and gives 9 outputs, but the "
            "labels need 10 "
            "classes; the last `dense` layer must have at least 10 units");
}

TEST(ModelErrors, OutputsThatAreImages) {
  EXPECT_EQ(
      refusal({conv(12, 28)}),
      "model.yaml:10:5: layer 0 'conv2d_0' (conv2d): is the last layer and must give one axis of at least 10 "
      "classes, but gives 12×1×1; end the model with `flatten` and a `dense` layer of 10 units");
}

TEST(ModelErrors, NothingToTrain) {
  EXPECT_EQ(refusal(std::vector<config::LayerSpec>{}),
            "model.yaml: the model has no layers; list them under `model`");
  EXPECT_EQ(
      refusal({config::Flatten{}}),
      "model.yaml: the model has no layer with weights, so there is nothing to train; add a `dense` layer");
}

TEST(ModelErrors, TensorsBeyondAnyMemory) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_NE(refusal({config::Flatten{}, dense(most)})
                .find("its weight would be 9223372036854775807×784, more than 2^40"),
            std::string::npos);
  EXPECT_NE(refusal({conv(10'000'000'000, 1)}).find("its output would be 10000000000×28×28, more than 2^40"),
            std::string::npos);
  config::MaxPool pool = testing::max_pool(2);
  pool.stride = {most, most};
  EXPECT_NE(refusal({pool}).find("9223372036854775807 is too large for a window or a stride"),
            std::string::npos);
}

TEST(ModelErrors, LayersThatAreNotInTheFileHaveNoLine) {
  config::Experiment experiment = experiment_of({dense(10)});
  experiment.model[0].mark = {};
  EXPECT_TRUE(refusal(experiment).starts_with("model.yaml: layer 0 'dense_0' (dense): "))
      << refusal(experiment);
}

}  // namespace
}  // namespace lockstep::nn
