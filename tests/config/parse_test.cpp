#include "config/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "examples.h"

namespace lockstep::config {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// The experiment of the design's own example.
const std::string mnist = R"(name: mnist_cnn
seed: 7
data:
  train: {file: datasets/mnist.h5, images: /train/images, labels: /train/labels}
  validation: {file: other.h5, images: /test/images, labels: /test/labels}
  scale: 0.00392156862745098        # multiplies raw pixels
  shuffle: global
model:
  - conv2d: {name: conv1, filters: 24, kernel: 5, init: {uniform: 0.1}}
  - relu
  - max_pool: {size: 2}
  - flatten
  - dense: {name: fc1, units: 512, init: {uniform: 0.01}}
  - dropout: {rate: 0.25}
  - dense: {units: 10, init: {uniform: 0.02}}
loss: mean_squared_error
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0}}
schedule: {constant: {}, warmup_steps: 3}
training: {epochs: 30, batch: 128, shards: 16, reproducibility: run}
device: {kind: cuda, threads: 4, precision: tf32, gpus: [3, 1], exchange: nccl, branches: 2, data: host}
output: {dir: elsewhere, name: run-1.a, progress: auto}
)";

TEST(parse, reads_every_section) {
  const Experiment e = parse_text(mnist);
  EXPECT_EQ(e.source, "x.yaml");
  EXPECT_EQ(e.name, "mnist_cnn");
  EXPECT_EQ(e.seed, 7U);
  EXPECT_EQ(e.data.train.file, "datasets/mnist.h5");
  EXPECT_EQ(e.data.train.images, "/train/images");
  EXPECT_EQ(e.data.train.labels, "/train/labels");
  ASSERT_TRUE(e.data.validation.has_value());
  EXPECT_EQ(e.data.validation->file, "other.h5");
  EXPECT_EQ(e.data.scale, 0.00392156862745098);
  EXPECT_EQ(e.data.shuffle, Shuffle::global);
  EXPECT_EQ(e.loss, Loss::mean_squared_error);
  const auto& sgd = std::get<Sgd>(e.optimizer);
  EXPECT_EQ(sgd.learning_rate, 0.05);
  EXPECT_EQ(sgd.momentum, 0.9);
  EXPECT_TRUE(sgd.nesterov);
  EXPECT_EQ(sgd.weight_decay, 0.0);
  EXPECT_TRUE(std::holds_alternative<ConstantSchedule>(e.schedule.kind));
  EXPECT_EQ(e.schedule.warmup_steps, 3);
  EXPECT_EQ(e.training.epochs, 30);
  EXPECT_EQ(e.training.batch, 128);
  EXPECT_EQ(e.training.shards, 16);
  EXPECT_EQ(e.training.reproducibility, Reproducibility::run);
  EXPECT_EQ(e.device.kind, DeviceKind::cuda);
  EXPECT_EQ(e.device.threads, 4);
  EXPECT_EQ(e.device.precision, Precision::tf32);
  EXPECT_EQ(e.device.gpus, (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(e.device.exchange, Exchange::nccl);
  EXPECT_EQ(e.device.branches, 2);
  EXPECT_EQ(e.device.data, DataPlace::host);
  EXPECT_EQ(e.output.dir, "elsewhere");
  EXPECT_EQ(e.output.name, "run-1.a");
  EXPECT_EQ(e.output.progress, Progress::automatic);
}

TEST(parse, reads_layers_with_their_places) {
  const Experiment e = parse_text(mnist);
  ASSERT_EQ(e.model.size(), 7U);
  const auto& conv = std::get<Conv2d>(e.model[0].spec);
  EXPECT_EQ(conv.filters, 24);
  EXPECT_THAT(conv.kernel, ElementsAre(5, 5));
  EXPECT_EQ(std::get<UniformInit>(conv.init).limit, 0.1);
  EXPECT_TRUE(std::holds_alternative<ZerosInit>(conv.bias_init));
  EXPECT_TRUE(std::holds_alternative<Relu>(e.model[1].spec));
  EXPECT_TRUE(std::holds_alternative<MaxPool>(e.model[2].spec));
  EXPECT_TRUE(std::holds_alternative<Flatten>(e.model[3].spec));
  EXPECT_EQ(std::get<Dense>(e.model[4].spec).units, 512);
  EXPECT_EQ(std::get<Dropout>(e.model[5].spec).rate, 0.25);
  EXPECT_EQ(std::get<UniformInit>(std::get<Dense>(e.model[6].spec).init).limit, 0.02);
  EXPECT_EQ(e.model[1].mark.line, 10);
  EXPECT_EQ(e.model[1].mark.column, 5);
  EXPECT_EQ(e.model[6].mark.line, 15);
}

TEST(parse, names_layers_by_kind_and_count) {
  const Experiment e = parse_text(mnist);
  std::vector<std::string> names;
  for (const Layer& layer : e.model) names.push_back(layer.name);
  EXPECT_THAT(names,
              ElementsAre("conv1", "relu_1", "max_pool_1", "flatten_1", "fc1", "dropout_1", "dense_2"));
}

TEST(parse, reads_what_may_be_left_out_as_a_whole) {
  const Experiment e = parse_text(minimal, {"data.train.rows=[5, 60]", "data.augment={shift: 2, zoom: 0.1}",
                                            "training.average={from_epoch: 2, every_steps: 7}"});
  EXPECT_EQ(e.data.train.rows, (Rows{5, 60}));
  ASSERT_TRUE(e.data.augment.has_value());
  EXPECT_EQ(e.data.augment->shift, 2);
  EXPECT_EQ(e.data.augment->rotate, 0);
  EXPECT_EQ(e.data.augment->zoom, 0.1);
  ASSERT_TRUE(e.training.average.has_value());
  EXPECT_EQ(e.training.average->from_epoch, 2);
  EXPECT_EQ(e.training.average->every_steps, 7);
}

TEST(parse, leaves_the_documented_defaults) {
  const Experiment e = parse_text(minimal);
  EXPECT_EQ(e.seed, 1U);
  EXPECT_FALSE(e.data.validation.has_value());
  EXPECT_EQ(e.data.scale, 1.0);
  EXPECT_EQ(e.data.shuffle, Shuffle::stripes);
  EXPECT_TRUE(e.data.train.rows.all());
  EXPECT_FALSE(e.data.augment.has_value());
  EXPECT_FALSE(e.training.average.has_value());
  EXPECT_EQ(e.training.validate_every, 1);
  EXPECT_EQ(e.loss, Loss::softmax_cross_entropy);
  EXPECT_EQ(std::get<Sgd>(e.optimizer).learning_rate, 0.01);
  EXPECT_TRUE(std::holds_alternative<ConstantSchedule>(e.schedule.kind));
  EXPECT_EQ(e.training.shards, 8);
  EXPECT_EQ(e.training.reproducibility, Reproducibility::lockstep);
  EXPECT_EQ(e.device.kind, DeviceKind::cpu);
  EXPECT_EQ(e.device.threads, 0);
  EXPECT_EQ(e.device.precision, Precision::fp32);
  EXPECT_TRUE(e.device.gpus.empty());
  EXPECT_EQ(e.device.exchange, Exchange::automatic);
  EXPECT_EQ(e.device.branches, 0);
  EXPECT_EQ(e.device.data, DataPlace::automatic);
  EXPECT_EQ(e.output.dir, "runs");
  EXPECT_EQ(e.output.name, "");
  EXPECT_EQ(e.output.progress, Progress::automatic);
}

LayerSpec only_layer(const std::string& layer) {
  return parse_text(minimal_with("model", "model: [" + layer + "]")).model.at(0).spec;
}

TEST(parse, takes_extents_as_one_number_or_two) {
  const auto conv = std::get<Conv2d>(only_layer("conv2d: {filters: 1, kernel: [3, 5], stride: [2, 1]}"));
  EXPECT_THAT(conv.kernel, ElementsAre(3, 5));
  EXPECT_THAT(conv.stride, ElementsAre(2, 1));
  EXPECT_THAT(std::get<Conv2d>(only_layer("conv2d: {filters: 1, kernel: 4}")).stride, ElementsAre(1, 1));
}

TEST(parse, pools_step_by_their_size_unless_told_otherwise) {
  EXPECT_THAT(std::get<MaxPool>(only_layer("max_pool: {size: [2, 3]}")).stride, ElementsAre(2, 3));
  EXPECT_THAT(std::get<AvgPool>(only_layer("avg_pool: {size: 4}")).stride, ElementsAre(4, 4));
  EXPECT_THAT(std::get<AvgPool>(only_layer("avg_pool: {size: 4, stride: 1}")).stride, ElementsAre(1, 1));
}

TEST(parse, takes_padding_in_words_or_numbers) {
  const auto padding = [](const std::string& text) {
    return std::get<Conv2d>(only_layer("conv2d: {filters: 1, kernel: 9, padding: " + text + "}")).padding;
  };
  EXPECT_EQ(padding("valid").kind, Padding::Kind::valid);
  EXPECT_EQ(padding("same").kind, Padding::Kind::same);
  const Padding all = padding("3");
  EXPECT_EQ(all.kind, Padding::Kind::numbers);
  EXPECT_THAT((std::array{all.top, all.bottom, all.left, all.right}), ElementsAre(3, 3, 3, 3));
  const Padding sides = padding("[1, 2, 3, 4]");
  EXPECT_EQ(sides.kind, Padding::Kind::numbers);
  EXPECT_THAT((std::array{sides.top, sides.bottom, sides.left, sides.right}), ElementsAre(1, 2, 3, 4));
}

template <class T>
T init_of(const std::string& text) {
  return std::get<T>(std::get<Dense>(only_layer("dense: {units: 1, init: " + text + "}")).init);
}

TEST(parse, takes_every_initialiser) {
  EXPECT_EQ(init_of<UniformInit>("{uniform: 0.5}").limit, 0.5);
  EXPECT_EQ(init_of<NormalInit>("{normal: 2}").stddev, 2.0);
  EXPECT_EQ(init_of<ConstantInit>("{constant: -0.5}").value, -0.5);
  init_of<ZerosInit>("zeros");
  init_of<ZerosInit>("{zeros: {}}");
  init_of<HeUniformInit>("he_uniform");
  init_of<HeNormalInit>("he_normal");
  init_of<GlorotUniformInit>("glorot_uniform");
  init_of<GlorotNormalInit>("glorot_normal");
}

TEST(parse, takes_a_bare_word_for_a_kind_without_settings) {
  EXPECT_EQ(std::get<Dropout>(only_layer("dropout")).rate, 0.5);
  EXPECT_TRUE(std::holds_alternative<Tanh>(only_layer("tanh")));
  EXPECT_TRUE(std::holds_alternative<Sigmoid>(only_layer("sigmoid: {}")));
  EXPECT_EQ(std::get<AdamW>(parse_text(minimal_with("optimizer", "optimizer: adamw")).optimizer).beta2,
            0.999);
}

TEST(parse, takes_every_optimizer_and_schedule) {
  const auto adamw =
      std::get<AdamW>(parse_text(minimal_with("optimizer",
                                              "optimizer: {adamw: {learning_rate: 0.1, beta1: 0.2, beta2: "
                                              "0.3, epsilon: 0.4, weight_decay: 0.5}}"))
                          .optimizer);
  EXPECT_THAT((std::array{adamw.learning_rate, adamw.beta1, adamw.beta2, adamw.epsilon, adamw.weight_decay}),
              ElementsAre(0.1, 0.2, 0.3, 0.4, 0.5));
  const auto schedule = [](const std::string& text) {
    return parse_text(minimal_with("schedule", "schedule: " + text)).schedule;
  };
  const Schedule step = schedule("{warmup_steps: 9, step: {every: 5, factor: 0.5}}");
  EXPECT_EQ(std::get<StepSchedule>(step.kind).every, 5);
  EXPECT_EQ(std::get<StepSchedule>(step.kind).factor, 0.5);
  EXPECT_EQ(step.warmup_steps, 9);
  EXPECT_EQ(std::get<ExponentialSchedule>(schedule("{exponential: {factor: 0.9}}").kind).factor, 0.9);
  EXPECT_EQ(std::get<CosineSchedule>(schedule("{cosine: {final_factor: 0.1}}").kind).final_factor, 0.1);
  EXPECT_EQ(std::get<LinearSchedule>(schedule("{linear: {final_factor: 0.2}}").kind).final_factor, 0.2);
  EXPECT_TRUE(std::holds_alternative<ConstantSchedule>(schedule("{warmup_steps: 4}").kind));
  EXPECT_TRUE(std::holds_alternative<CosineSchedule>(schedule("cosine").kind));
}

TEST(parse, takes_any_seed_of_64_bits) {
  EXPECT_EQ(parse_text(minimal_with("seed", "seed: 18446744073709551615")).seed,
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_text(minimal_with("seed", "seed: 0")).seed, 0U);
  EXPECT_THAT(problems_of(minimal_with("seed", "seed: 18446744073709551616")),
              ElementsAre("x.yaml:6:7: seed must be an integer from 0 to 18446744073709551615, found "
                          "'18446744073709551616'"));
}

}  // namespace
}  // namespace lockstep::config
