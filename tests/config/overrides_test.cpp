#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/print.h"
#include "examples.h"

namespace lockstep::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::string network =
    minimal_with("model",
                 "model:\n"
                 "  - conv2d: {name: conv1, filters: 4, kernel: 3, init: {uniform: 0.1}}\n"
                 "  - relu\n"
                 "  - dropout\n"
                 "  - dense: {name: fc1, units: 3, bias_init: zeros}\n"
                 "  - dense: {units: 2}");

TEST(overrides, replace_values) {
  const Experiment e =
      parse_text(minimal, {"training.epochs=7", "name=other", "data.train.file=/tmp/b c.h5"});
  EXPECT_EQ(e.training.epochs, 7);
  EXPECT_EQ(e.training.batch, 10);
  EXPECT_EQ(e.name, "other");
  EXPECT_EQ(e.data.train.file, "/tmp/b c.h5");
}

TEST(overrides, make_the_mappings_that_are_missing) {
  const Experiment e =
      parse_text(minimal, {"device.threads=3", "data.validation.file=v", "data.validation.images=i",
                           "data.validation.labels=l", "schedule.warmup_steps=5"});
  EXPECT_EQ(e.device.threads, 3);
  ASSERT_TRUE(e.data.validation.has_value());
  EXPECT_EQ(e.data.validation->images, "i");
  EXPECT_EQ(e.schedule.warmup_steps, 5);
}

TEST(overrides, take_mappings_and_lists) {
  const Experiment e =
      parse_text(minimal, {"schedule={cosine: {final_factor: 0.5}, warmup_steps: 9}",
                           "optimizer={adamw: {beta1: 0.5}}", "model=[flatten, dense: {units: 8}]"});
  EXPECT_EQ(std::get<CosineSchedule>(e.schedule.kind).final_factor, 0.5);
  EXPECT_EQ(std::get<AdamW>(e.optimizer).beta1, 0.5);
  EXPECT_EQ(e.model.size(), 2U);
}

TEST(overrides, address_layers_by_name_and_index) {
  const Experiment e =
      parse_text(network, {"model.fc1.units=256", "model.0.filters=8", "model.conv1.kernel=[5, 7]",
                           "model.dense_2.units=9", "model.relu_1.name=first", "model.dropout_1.rate=0.25",
                           "model.conv1.init.uniform=0.5"});
  const auto& conv = std::get<Conv2d>(e.model[0].spec);
  EXPECT_EQ(conv.filters, 8);
  EXPECT_THAT(conv.kernel, ElementsAre(5, 7));
  EXPECT_EQ(std::get<UniformInit>(conv.init).limit, 0.5);
  EXPECT_EQ(e.model[1].name, "first");
  EXPECT_EQ(std::get<Dropout>(e.model[2].spec).rate, 0.25);
  EXPECT_EQ(std::get<Dense>(e.model[3].spec).units, 256);
  EXPECT_EQ(std::get<Dense>(e.model[4].spec).units, 9);
}

TEST(overrides, replace_whole_layers) {
  const Experiment e = parse_text(network, {"model.relu_1=tanh", "model.4={dense: {units: 77}}"});
  EXPECT_TRUE(std::holds_alternative<Tanh>(e.model[1].spec));
  EXPECT_EQ(e.model[1].name, "tanh_1");
  EXPECT_EQ(std::get<Dense>(e.model[4].spec).units, 77);
}

TEST(overrides, apply_in_order) {
  const Experiment e = parse_text(network, {"seed=1", "seed=2", "model.fc1.name=head", "model.head.units=5"});
  EXPECT_EQ(e.seed, 2U);
  EXPECT_EQ(std::get<Dense>(e.model[3].spec).units, 5);
}

TEST(overrides, mend_what_is_wrong_in_the_file) {
  EXPECT_THAT(problems_of(minimal + "seed: x\n", {"seed=3"}), IsEmpty());
  EXPECT_THAT(problems_of(minimal_with("training", "training: {batch: 1}"), {"training.epochs=3"}),
              IsEmpty());
}

TEST(overrides, extend_a_bare_word) {
  EXPECT_EQ(std::get<Sgd>(parse_text(minimal, {"optimizer.sgd.learning_rate=0.5"}).optimizer).learning_rate,
            0.5);
}

TEST(overrides, take_a_bare_word_for_what_has_defaults) {
  const std::vector<std::string> words{"optimizer=adamw", "schedule=step", "schedule.warmup_steps=5"};
  const Experiment e = parse_text(minimal, words);
  EXPECT_EQ(std::get<AdamW>(e.optimizer).beta1, AdamW{}.beta1);
  EXPECT_EQ(std::get<StepSchedule>(e.schedule.kind).every, StepSchedule{}.every);
  EXPECT_EQ(e.schedule.warmup_steps, 5);
  EXPECT_THAT(problems_of(minimal, {"schedule=consine"}),
              ElementsAre("override 'schedule=consine': unknown key 'consine', did you mean 'cosine'?"));
}

TEST(overrides, value_may_contain_equals_signs_and_dots) {
  EXPECT_EQ(parse_text(minimal, {"data.train.file=a=b.h5"}).data.train.file, "a=b.h5");
}

TEST(overrides, unknown_key_suggests_the_nearest) {
  EXPECT_THAT(problems_of(minimal, {"training.epoch=3"}),
              ElementsAre("override 'training.epoch=3': unknown key 'epoch', did you mean 'epochs'?"));
  EXPECT_THAT(problems_of(minimal, {"trainin.epochs=3"}),
              ElementsAre("override 'trainin.epochs=3': unknown key 'trainin', did you mean 'training'?"));
  EXPECT_THAT(problems_of(minimal, {"epochs=3"}),
              ElementsAre("override 'epochs=3': unknown key 'epochs' here, it belongs to training"));
  EXPECT_THAT(problems_of(network, {"model.fc1.unit=3"}),
              ElementsAre("override 'model.fc1.unit=3': unknown key 'unit', did you mean 'units'?"));
}

TEST(overrides, wrong_value_names_the_override) {
  EXPECT_THAT(
      problems_of(minimal, {"training.epochs=ten", "seed=1", "training.shards=3"}),
      ElementsAre(
          "override 'training.epochs=ten': training.epochs must be an integer from 1 to 1000000, found 'ten'",
          "override 'training.shards=3': training.shards must be a power of two from 1 to 4096, found '3'"));
  EXPECT_THAT(problems_of(minimal, {"seed="}),
              ElementsAre(HasSubstr("override 'seed=': seed must be an integer")));
  EXPECT_THAT(
      problems_of(minimal, {"seed.foo=1"}),
      ElementsAre(HasSubstr(
          "override 'seed.foo=1': seed must be an integer from 0 to 18446744073709551615, found a mapping")));
  EXPECT_THAT(problems_of(network, {"model.conv1.kernel.0=1"}),
              ElementsAre(HasSubstr("override 'model.conv1.kernel.0=1': model.0.kernel must be an integer")));
}

TEST(overrides, incomplete_section_names_the_override) {
  EXPECT_THAT(
      problems_of(minimal, {"data.validation.file=v"}),
      ElementsAre(StartsWith("override 'data.validation.file=v': data.validation lacks the key 'images'"),
                  StartsWith("override 'data.validation.file=v': data.validation lacks the key 'labels'")));
}

TEST(overrides, unknown_layer_lists_or_suggests) {
  EXPECT_THAT(problems_of(network, {"model.fc2.units=3"}),
              ElementsAre("override 'model.fc2.units=3': there is no layer 'fc2', did you mean 'fc1'?"));
  EXPECT_THAT(
      problems_of(network, {"model.attention.units=3"}),
      ElementsAre(
          "override 'model.attention.units=3': there is no layer 'attention', the layers are conv1, relu_1, "
          "dropout_1, fc1 and dense_2"));
  EXPECT_THAT(problems_of(network, {"model.5=relu"}),
              ElementsAre("override 'model.5=relu': there is no layer 5: the model's layers are 0 to 4"));
}

TEST(overrides, other_alternative_is_told_how_to_replace) {
  EXPECT_THAT(
      problems_of(minimal, {"optimizer.adamw.learning_rate=0.1", "optimizer.adamw.beta1=0.5"}),
      ElementsAre(
          "override 'optimizer.adamw.learning_rate=0.1': the experiment has the optimizer 'sgd' here, at "
          "x.yaml:4:12; to replace it, write 'optimizer={adamw: {learning_rate: 0.1, beta1: 0.5}}'"));
  EXPECT_THAT(
      problems_of(minimal + "schedule: {step: {}, warmup_steps: 4}\n", {"schedule.cosine.final_factor=0.1"}),
      ElementsAre(
          "override 'schedule.cosine.final_factor=0.1': the experiment has the schedule 'step' here, at "
          "x.yaml:6:12; to replace it, write 'schedule={warmup_steps: 4, cosine: {final_factor: 0.1}}'"));
  EXPECT_THAT(
      problems_of(network, {"model.conv1.init.normal=0.2"}),
      ElementsAre(
          "override 'model.conv1.init.normal=0.2': the experiment has the initialiser 'uniform' here, at "
          "x.yaml:4:57; to replace it, write 'model.conv1.init={normal: 0.2}'"));
  EXPECT_THAT(
      problems_of(network, {"model.fc1.bias_init.constant=1"}),
      ElementsAre(
          "override 'model.fc1.bias_init.constant=1': the experiment has the initialiser 'zeros' here, at "
          "x.yaml:7:45; to replace it, write 'model.fc1.bias_init={constant: 1}'"));
}

TEST(overrides, advice_on_replacing_works) {
  EXPECT_THAT(problems_of(minimal, {"optimizer={adamw: {learning_rate: 0.1, beta1: 0.5}}"}), IsEmpty());
  EXPECT_THAT(problems_of(network, {"model.fc1.bias_init={constant: 1}"}), IsEmpty());
}

TEST(overrides, need_a_path_and_a_value) {
  for (const char* bad : {"", "=", "seed", "=3", ".seed=3", "seed.=3", "training..epochs=3", "a b=3"})
    EXPECT_THAT(problems_of(minimal, {bad}),
                ElementsAre(std::string("override '") + bad +
                            "': an override has the form key.path=value, as in training.epochs=3"));
}

TEST(overrides, value_must_be_yaml) {
  EXPECT_THAT(problems_of(minimal, {"schedule={cosine: "}),
              ElementsAre(StartsWith("override 'schedule={cosine: ': not valid YAML: ")));
  EXPECT_THAT(problems_of(minimal, {"seed=1\n---\n2"}),
              ElementsAre(HasSubstr("a second YAML document starts here")));
  EXPECT_THAT(problems_of(minimal, {"device={threads: 1, threads: 2}"}),
              ElementsAre(HasSubstr("duplicate key 'threads'")));
}

TEST(overrides, come_after_the_problems_of_the_file) {
  EXPECT_THAT(problems_of(minimal + "seed: x\n", {"training.epochs=y", "loss=z"}),
              ElementsAre(StartsWith("x.yaml:6:7: "), StartsWith("override 'training.epochs=y': "),
                          StartsWith("override 'loss=z': ")));
}

TEST(overrides, on_a_model_that_is_no_list_are_reported) {
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: 3"), {"model.0.units=3"}),
      ElementsAre(HasSubstr(
          "override 'model.0.units=3': model must be a list of at least one layer, found a mapping")));
  EXPECT_THAT(problems_of(minimal_with("model", "model: []"), {"model.0.units=3"}),
              ElementsAre("x.yaml:3:8: model must be a list of at least one layer, found none",
                          "override 'model.0.units=3': the model has no layers"));
  EXPECT_THAT(problems_of(minimal_with("model", "model: [[a]]"), {"model.0.units=3"}),
              ElementsAre(HasSubstr("override 'model.0.units=3': ")));
}

TEST(overrides, can_say_everything) {
  EXPECT_EQ(print(parse_text("", {"name=tiny", "data.train={file: a.h5, images: /i, labels: /l}",
                                  "model=[dense: {units: 3}]", "optimizer=sgd", "training.epochs=2",
                                  "training.batch=10"})),
            print(parse_text(minimal)));
}

TEST(overrides, address_faults_by_index_and_kind) {
  const std::string text = minimal + "faults: [kill: {rank: 0}, stall: {rank: 1, place: loader}]\n";
  const Experiment e = parse_text(text, {"faults.0.step=5", "faults.stall_1.place=exchange"});
  ASSERT_EQ(e.faults.size(), 2U);
  EXPECT_EQ(e.faults[0].step, 5);
  EXPECT_EQ(e.faults[1].rank, 1);
  EXPECT_EQ(std::get<fault::Stall>(e.faults[1].spec).place, fault::Place::exchange);
  EXPECT_TRUE(parse_text(text, {"faults=[]"}).faults.empty());
  EXPECT_THAT(
      problems_of(text, {"faults.2.step=5"}),
      ElementsAre("override 'faults.2.step=5': there is no fault 2: the experiment's faults are 0 to 1"));
  EXPECT_THAT(problems_of(text, {"faults.0.place=loader"}), ElementsAre(HasSubstr("unknown key 'place'")));
}

}  // namespace
}  // namespace lockstep::config
