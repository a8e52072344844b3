#include "config/print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "examples.h"

namespace lockstep::config {
namespace {

void expect_round_trip(const std::string& text) {
  const std::string printed = print(parse_text(text));
  EXPECT_THAT(problems_of(printed), ::testing::IsEmpty()) << printed;
  EXPECT_EQ(print(parse_text(printed)), printed);
}

TEST(print, spells_out_every_default) {
  EXPECT_EQ(print(parse_text(minimal)),
            "name: tiny\n"
            "seed: 1\n"
            "data:\n"
            "  train: {file: a.h5, images: /i, labels: /l}\n"
            "  scale: 1\n"
            "  shuffle: stripes\n"
            "model:\n"
            "  - dense: {name: dense_1, units: 3, bias: true, init: glorot_uniform, bias_init: zeros}\n"
            "loss: softmax_cross_entropy\n"
            "optimizer:\n"
            "  sgd: {learning_rate: 0.01, momentum: 0, nesterov: false, weight_decay: 0}\n"
            "schedule:\n"
            "  constant: {}\n"
            "  warmup_steps: 0\n"
            "training:\n"
            "  epochs: 2\n"
            "  batch: 10\n"
            "  shards: 8\n"
            "  reproducibility: lockstep\n"
            "  watchdog_seconds: 300\n"
            "  validate_every: 1\n"
            "checkpoint:\n"
            "  every_epochs: 1\n"
            "  every_steps: 0\n"
            "  every_minutes: 0\n"
            "  keep: 2\n"
            "  keep_best: true\n"
            "  on_failure: continue\n"
            "digests:\n"
            "  every: 1\n"
            "device:\n"
            "  kind: cpu\n"
            "  threads: auto\n"
            "  instruction_set: auto\n"
            "  convolutions: auto\n"
            "  precision: fp32\n"
            "  gpus: auto\n"
            "  exchange: auto\n"
            "  branches: auto\n"
            "  data: auto\n"
            "checks:\n"
            "  memory: stop\n"
            "  arithmetic_every: 200\n"
            "output:\n"
            "  dir: runs\n"
            "  progress: auto\n");
}

TEST(print, writes_layers_on_one_line) {
  const std::string printed = print(parse_text(minimal_with(
      "model",
      "model:\n"
      "  - conv2d: {filters: 4, kernel: [3, 5], stride: 2, padding: [0, 1, 2, 3], init: {uniform: 0.1}}\n"
      "  - max_pool: {size: [2, 3], padding: 1}\n"
      "  - avg_pool: {size: 2, padding: same}\n"
      "  - relu\n")));
  EXPECT_THAT(printed,
              ::testing::HasSubstr(
                  "model:\n"
                  "  - conv2d: {name: conv2d_1, filters: 4, kernel: [3, 5], stride: 2, padding: [0, 1, "
                  "2, 3], bias: true, init: {uniform: 0.1}, bias_init: zeros}\n"
                  "  - max_pool: {name: max_pool_1, size: [2, 3], stride: [2, 3], padding: 1}\n"
                  "  - avg_pool: {name: avg_pool_1, size: 2, stride: 2, padding: same}\n"
                  "  - relu: {name: relu_1}\n"));
}

TEST(print, keeps_numbers_exactly) {
  const double third = 1.0 / 3;
  Experiment e = parse_text(minimal);
  e.data.scale = third;
  std::get<Sgd>(e.optimizer).learning_rate = 1e-7;
  const Experiment again = parse_text(print(e));
  EXPECT_EQ(again.data.scale, third);
  EXPECT_EQ(std::get<Sgd>(again.optimizer).learning_rate, 1e-7);
}

TEST(print, quotes_text_that_yaml_would_read_otherwise) {
  for (const char* awkward :
       {"null", "~", "a: b", "x #y", "- z", "[a",  "{",           "'q'", "\"d\"", "a,b", "*x", "&y",
        "ü",    "%", "@",    "true", "1e3", "a'b", "back\\slash", "?",   ": ",    "!t",  "|",  ">"}) {
    Experiment e = parse_text(minimal);
    e.data.train.images = awkward;
    if (e.data.train.images.back() == ' ') continue;
    EXPECT_EQ(parse_text(print(e)).data.train.images, awkward) << print(e);
  }
}

TEST(print, names_that_yaml_would_read_as_nothing_survive) {
  Experiment e = parse_text(minimal);
  e.name = "null";
  EXPECT_EQ(parse_text(print(e)).name, "null");
}

TEST(print, round_trips_every_alternative) {
  for (const char* init : {"{uniform: 0.1}", "{normal: 0.3}", "{constant: -1e-3}", "zeros", "he_uniform",
                           "he_normal", "glorot_uniform", "glorot_normal"})
    expect_round_trip(minimal_with("model", std::string("model: [dense: {units: 1, init: ") + init + "}]"));
  for (const char* schedule :
       {"{constant: {}}", "{step: {every: 2}}", "{exponential: {}}", "{cosine: {}}", "{linear: {}}"})
    expect_round_trip(minimal_with("schedule", std::string("schedule: ") + schedule));
  for (const char* optimizer : {"sgd", "adamw", "{sgd: {momentum: 0.9, nesterov: true}}"})
    expect_round_trip(minimal_with("optimizer", std::string("optimizer: ") + optimizer));
  expect_round_trip(
      minimal_with("model",
                   "model: [conv2d: {filters: 1, kernel: 3, padding: same}, max_pool: {size: 2}, avg_pool: "
                   "{size: [1, 2], stride: 3}, "
                   "relu, tanh, sigmoid, flatten, dropout: {rate: 0}, dense: {units: 2, bias: false}]"));
}

TEST(print, of_an_experiment_made_in_code_can_be_parsed) {
  Experiment e = parse_text(minimal);
  MaxPool pool;
  pool.size = {2, 3};
  e.model.insert(e.model.begin(), Layer{.name = "pool", .spec = pool, .mark = {}});
  e.output.name = "run";
  const Experiment again = parse_text(print(e));
  EXPECT_EQ(std::get<MaxPool>(again.model[0].spec).stride, (Extent2{2, 3}));
  EXPECT_EQ(again.output.name, "run");
}

}  // namespace
}  // namespace lockstep::config
