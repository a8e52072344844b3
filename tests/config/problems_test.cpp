#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/print.h"
#include "examples.h"

namespace lockstep::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(problems, minimal_experiment_has_none) {
  EXPECT_THAT(problems_of(minimal), IsEmpty());
}

TEST(problems, unknown_key_suggests_the_nearest) {
  EXPECT_THAT(problems_of(minimal_with("model", "model:\n  - dense: {units: 3, unit: 4}")),
              ElementsAre("x.yaml:4:23: unknown key 'unit', did you mean 'units'?"));
  EXPECT_THAT(problems_of(minimal + "ouptut: {}\n"),
              ElementsAre("x.yaml:6:1: unknown key 'ouptut', did you mean 'output'?"));
}

TEST(problems, unknown_key_names_where_it_belongs) {
  EXPECT_THAT(problems_of(minimal + "epochs: 3\n"),
              ElementsAre("x.yaml:6:1: unknown key 'epochs' here, it belongs to training"));
  EXPECT_THAT(
      problems_of(minimal + "learning_rate: 3\n"),
      ElementsAre(
          "x.yaml:6:1: unknown key 'learning_rate' here, it belongs to optimizer.sgd or optimizer.adamw"));
}

TEST(problems, unknown_key_like_no_other_lists_the_valid_ones) {
  EXPECT_THAT(problems_of(minimal + "digests: {folder: 0}\n"),
              ElementsAre("x.yaml:6:11: unknown key 'folder', the keys here are every"));
}

TEST(problems, slip_of_a_required_key_is_one_problem) {
  EXPECT_THAT(problems_of(minimal_with("training", "training: {epoch: 2, batch: 10}")),
              ElementsAre("x.yaml:5:12: unknown key 'epoch', did you mean 'epochs'?"));
}

TEST(problems, missing_key_points_at_the_mapping_that_lacks_it) {
  EXPECT_THAT(problems_of(minimal_with("training", "training:\n  shards: 8\n  batch: 10")),
              ElementsAre("x.yaml:6:3: training lacks the key 'epochs', an integer from 1 to 1000000"));
  EXPECT_THAT(problems_of(minimal_with("model", "model:\n  - relu\n  - conv2d: {kernel: 3}")),
              ElementsAre("x.yaml:5:13: model.1 lacks the key 'filters', an integer from 1 to 1048576"));
  EXPECT_THAT(problems_of(minimal_with("model", "model:\n  - dense")),
              ElementsAre("x.yaml:4:5: model.0 lacks the key 'units', an integer from 1 to 1048576"));
  EXPECT_THAT(
      problems_of("name: tiny\n"),
      ElementsAre(
          "x.yaml:1:1: the experiment lacks the key 'data', what to train on",
          "x.yaml:1:1: the experiment lacks the key 'model', the layers, first to last",
          "x.yaml:1:1: the experiment lacks the key 'optimizer', how weights follow gradients",
          "x.yaml:1:1: the experiment lacks the key 'training', how long to train, and in which pieces"));
}

TEST(problems, duplicate_key_names_both_places) {
  EXPECT_THAT(problems_of(minimal + "seed: 1\nseed: 2\n"),
              ElementsAre("x.yaml:7:1: duplicate key 'seed', first given at x.yaml:6:1"));
}

TEST(problems, choice_lists_its_words) {
  EXPECT_THAT(
      problems_of(minimal + "loss: mse\n"),
      ElementsAre("x.yaml:6:7: loss must be softmax_cross_entropy or mean_squared_error, found 'mse'"));
}

TEST(problems, say_that_nothing_expands_a_tilde) {
  EXPECT_THAT(
      problems_of(minimal, {"output.dir=~/runs", "data.train.file='~'", "output.name=a~b"}),
      ElementsAre(
          "override 'output.dir=~/runs': output.dir must be the path of a folder, found '~/runs' "
          "('~' is not expanded: write the path out)",
          "override 'data.train.file='~'': data.train.file must be the path of a file, found the text '~' "
          "('~' is not expanded: write the path out)",
          HasSubstr("output.name must be a name")));
  EXPECT_EQ(parse_text(minimal, {"output.dir=runs/~me"}).output.dir, "runs/~me");
}

TEST(problems, integers_are_plain_decimal) {
  const auto batch = [](const std::string& text) {
    return problems_of(minimal_with("training", "training: {epochs: 2, batch: " + text + "}"));
  };
  const std::string expects = "x.yaml:5:30: training.batch must be an integer from 1 to 1073741824, found ";
  EXPECT_THAT(batch("+10"), IsEmpty());
  EXPECT_THAT(batch("010"), ElementsAre(expects + "'010' (leave out leading zeros)"));
  EXPECT_THAT(batch("0"), ElementsAre(expects + "'0'"));
  EXPECT_THAT(batch("1073741825"), ElementsAre(expects + "'1073741825'"));
  EXPECT_THAT(batch("99999999999999999999"), ElementsAre(expects + "'99999999999999999999'"));
  EXPECT_THAT(batch("-1"), ElementsAre(expects + "'-1'"));
  EXPECT_THAT(batch("1.0"), ElementsAre(expects + "'1.0'"));
  EXPECT_THAT(batch("1e2"), ElementsAre(expects + "'1e2'"));
  EXPECT_THAT(batch("1_0"), ElementsAre(expects + "'1_0'"));
  EXPECT_THAT(batch("0x10"), ElementsAre(expects + "'0x10'"));
  EXPECT_THAT(batch("true"), ElementsAre(expects + "'true'"));
  EXPECT_THAT(batch("'10'"), ElementsAre(expects + "the text '10'"));
  EXPECT_THAT(batch("~"), ElementsAre(expects + "nothing"));
  EXPECT_THAT(batch("[10]"), ElementsAre(expects + "a list"));
  EXPECT_THAT(batch("{a: 10}"), ElementsAre(expects + "a mapping"));
}

TEST(problems, numbers_are_finite_and_in_range) {
  const auto scale = [](const std::string& text) {
    return problems_of(
        minimal_with("data", "data: {scale: " + text + ", train: {file: a, images: b, labels: c}}"));
  };
  const std::string expects = "x.yaml:2:15: data.scale must be a number above 0 and at most 1000000, found ";
  for (const char* good : {"1", "+1", "0.5", ".5", "5.", "1e-3", "1E+3", "1.5e0", "1000000"})
    EXPECT_THAT(scale(good), IsEmpty()) << good;
  for (const char* bad : {"0", "-1", "1e400", "1000001", "nan", ".nan", "inf", ".inf", "1e", "e1", ".",
                          "1.2.3", "1_0", "0x1p3", "1f", "five"})
    EXPECT_THAT(scale(bad), ElementsAre(expects + "'" + bad + "'"));
}

TEST(problems, gpus_are_a_list) {
  const std::string expects =
      "x.yaml:6:16: device.gpus must be auto or a list, not empty, of integers from 0 to 1023, found ";
  const auto gpus = [](const std::string& text) {
    return problems_of(minimal + "device: {gpus: " + text + "}\n");
  };
  EXPECT_THAT(gpus("auto"), IsEmpty());
  EXPECT_THAT(gpus("[0]"), IsEmpty());
  EXPECT_THAT(gpus("[1023, 0, 7]"), IsEmpty());
  EXPECT_THAT(gpus("2"), ElementsAre(expects + "'2'"));
  for (const char* bad : {"[]", "[-1]", "[1024]", "[auto]", "[0, 1.5]", "[[0]]"})
    EXPECT_THAT(gpus(bad), ElementsAre(expects + "a list")) << bad;
}

TEST(problems, gpu_for_two_ranks_needs_an_exchange_through_mpi) {
  const auto device = [](const std::string& text) {
    return problems_of(minimal + "device: {" + text + "}\n");
  };
  const std::string message =
      "device.gpus lists 3 twice: ranks can share a GPU only with device.exchange mpi or cuda_aware_mpi";
  EXPECT_THAT(device("kind: cuda, gpus: [3, 0, 3]"), ElementsAre("x.yaml:6:28: " + message));
  EXPECT_THAT(device("exchange: nccl, gpus: [0, 3, 3, 3]"), ElementsAre("x.yaml:6:32: " + message));
  EXPECT_THAT(device("exchange: mpi, gpus: [3, 0, 3]"), IsEmpty());
  EXPECT_THAT(device("exchange: cuda_aware_mpi, gpus: [3, 3]"), IsEmpty());
  EXPECT_THAT(device("exchange: fast, gpus: [3, 3]"), ElementsAre(HasSubstr("device.exchange must be")));
}

TEST(problems, an_average_begins_before_the_training_ends) {
  EXPECT_THAT(problems_of(minimal, {"training.average={from_epoch: 2}"}), IsEmpty());
  EXPECT_THAT(
      problems_of(minimal, {"training.average={from_epoch: 3}"}),
      ElementsAre("override 'training.average={from_epoch: 3}': training.average.from_epoch is 3, but the "
                  "training ends after epoch 2: nothing would be averaged"));
  EXPECT_THAT(problems_of(minimal, {"training.average={from_epoch: 0}"}),
              ElementsAre(HasSubstr("training.average.from_epoch must be an integer from 1 to")));
}

TEST(problems, reduced_precision_needs_a_gpu) {
  const std::string message = "device.precision needs device.kind cuda: a CPU computes in fp32 throughout";
  EXPECT_THAT(problems_of(minimal + "device: {precision: bf16}\n"), ElementsAre("x.yaml:6:21: " + message));
  EXPECT_THAT(problems_of(minimal + "device: {kind: cuda, precision: bf16}\n"), IsEmpty());
  EXPECT_THAT(problems_of(minimal + "device: {kind: cuda, precision: tf32}\n", {"device.kind=cpu"}),
              ElementsAre("x.yaml:6:33: " + message));
  EXPECT_THAT(problems_of(minimal + "device: {kind: gpu, precision: tf32}\n"),
              ElementsAre(HasSubstr("device.kind must be cpu or cuda")));
}

TEST(problems, truth_is_true_or_false) {
  const auto nesterov = [](const std::string& text) {
    return problems_of(
        minimal_with("optimizer", "optimizer: {sgd: {momentum: 0.5, nesterov: " + text + "}}"));
  };
  EXPECT_THAT(nesterov("true"), IsEmpty());
  EXPECT_THAT(nesterov("false"), IsEmpty());
  for (const char* bad : {"yes", "no", "on", "off", "True", "1", "y"})
    EXPECT_THAT(
        nesterov(bad),
        ElementsAre(std::string("x.yaml:4:44: optimizer.sgd.nesterov must be true or false, found '") + bad +
                    "'"));
}

TEST(problems, shards_are_a_power_of_two) {
  const auto shards = [](int count) {
    return problems_of(
        minimal_with("training", "training: {epochs: 2, batch: 9, shards: " + std::to_string(count) + "}"));
  };
  for (int power = 1; power <= 4096; power *= 2) EXPECT_THAT(shards(power), IsEmpty()) << power;
  for (const int bad : {0, -2, 3, 12, 8192})
    EXPECT_THAT(shards(bad),
                ElementsAre("x.yaml:5:41: training.shards must be a power of two from 1 to 4096, found '" +
                            std::to_string(bad) + "'"));
}

TEST(problems, names_of_folders_are_harmless) {
  for (const char* good : {"a", "A-1_b.c", "1st", "_x", "123"})
    EXPECT_THAT(problems_of(minimal_with("name", std::string("name: ") + good)), IsEmpty()) << good;
  for (const char* bad : {"..", ".hidden", "-rf", "a/b", "a b", "'a\n\n  b'", "ü", "~", "null", "''", "[a]"})
    EXPECT_THAT(problems_of(minimal_with("name", std::string("name: ") + bad)),
                ElementsAre(HasSubstr("x.yaml:1:7: name must be a name of letters, digits")))
        << bad;
  EXPECT_THAT(problems_of(minimal_with("name", "name: " + std::string(100, 'a'))), IsEmpty());
  EXPECT_THAT(problems_of(minimal_with("name", "name: " + std::string(101, 'a'))), SizeIs(1));
}

TEST(problems, layer_names_cannot_look_like_an_index) {
  EXPECT_THAT(problems_of(minimal_with("model", "model: [relu: {name: 1}]")),
              ElementsAre(HasSubstr("x.yaml:3:22: model.0.name must be a name of letters")));
  EXPECT_THAT(problems_of(minimal_with("model", "model: [relu: {name: a.b}]")), SizeIs(1));
}

// They become names of data sets in files of weights.
TEST(problems, layer_names_are_plain) {
  for (const char* good : {"a", "Conv-1_b", "x_"})
    EXPECT_THAT(
        problems_of(minimal_with("model", "model: [dense: {units: 3, name: " + std::string(good) + "}]")),
        IsEmpty())
        << good;
  for (const char* bad : {"a/b", "/", "..", ".", "a.b", "-a", "_a", "1", "a b", "ü", "\"a\\nb\"", "\"a\\0b\"",
                          "\"\\e[31m\"", "\"\\x7f\"", "''", "~", "[a]"})
    EXPECT_THAT(
        problems_of(minimal_with("model", "model: [dense: {units: 3, name: " + std::string(bad) + "}]")),
        ElementsAre(HasSubstr("x.yaml:3:33: model.0.name must be a name of letters, digits, '_' and '-' "
                              "that begins with a letter")))
        << bad;
}

TEST(problems, paths_are_text) {
  for (const char* bad : {"''", "' a'", "'a '", "\"a\\nb\"", "~", "[a]"})
    EXPECT_THAT(problems_of(minimal + "output: {dir: " + bad + "}\n"),
                ElementsAre(HasSubstr("x.yaml:6:15: output.dir must be the path of a folder, found ")))
        << bad;
  EXPECT_THAT(problems_of(minimal + "output: {dir: '/tmp/with space/ü'}\n"), IsEmpty());
}

TEST(problems, duplicate_layer_names_name_both_layers) {
  EXPECT_THAT(problems_of(minimal_with(
                  "model", "model:\n  - relu: {name: a}\n  - tanh\n  - dense: {name: a, units: 3}")),
              ElementsAre("x.yaml:6:19: two layers are named 'a', layer 2 and layer 0 at x.yaml:4:18: give "
                          "one another name"));
  // A given name that another layer would get by counting.
  EXPECT_THAT(problems_of(minimal_with("model", "model:\n  - relu: {name: relu_2}\n  - relu")),
              ElementsAre("x.yaml:5:5: two layers are named 'relu_2', layer 1 and layer 0 at x.yaml:4:18: "
                          "give one another name"));
}

TEST(problems, nesterov_needs_momentum) {
  EXPECT_THAT(problems_of(minimal_with("optimizer", "optimizer: {sgd: {nesterov: true}}")),
              ElementsAre("x.yaml:4:29: optimizer.sgd.nesterov needs a momentum above 0: it is how far ahead "
                          "the step looks"));
  EXPECT_THAT(problems_of(minimal_with("optimizer", "optimizer: {sgd: {nesterov: true, momentun: 0.9}}")),
              ElementsAre("x.yaml:4:35: unknown key 'momentun', did you mean 'momentum'?"));
  EXPECT_THAT(problems_of(minimal_with("optimizer", "optimizer: {sgd: {nesterov: true, momentum: 1}}")),
              ElementsAre(HasSubstr("x.yaml:4:45: optimizer.sgd.momentum must be")));
}

TEST(problems, pool_windows_reach_into_the_image) {
  EXPECT_THAT(
      problems_of(minimal_with("model", "model:\n  - max_pool: {size: [2, 3], padding: [0, 1, 2, 2]}")),
      IsEmpty());
  for (const char* bad : {"2", "[2, 0, 0, 0]", "[0, 2, 0, 0]", "[0, 0, 3, 0]", "[0, 0, 0, 3]"})
    EXPECT_THAT(problems_of(minimal_with(
                    "model", std::string("model:\n  - avg_pool: {size: [2, 3], padding: ") + bad + "}")),
                ElementsAre("x.yaml:4:39: model.0.padding must be smaller than the window, which is 2 × 3"));
}

TEST(problems, none_stands_for_a_mapping_that_may_be_left_out) {
  const std::string text =
      minimal_with("training", "training: {epochs: 9, batch: 4, average: {from_epoch: 2}}");
  EXPECT_TRUE(parse_text(text).training.average);
  EXPECT_FALSE(parse_text(text, {"training.average=none"}).training.average);
  EXPECT_FALSE(parse_text(text, {"data.validation=none", "data.augment=none"}).data.validation);
  const Experiment again = parse_text(text, {"training.average=none", "training.average.from_epoch=3"});
  ASSERT_TRUE(again.training.average);
  EXPECT_EQ(again.training.average->from_epoch, 3);
  EXPECT_EQ(parse_text(print(parse_text(text, {"training.average=none"}))).training.average.has_value(),
            false);
  EXPECT_THAT(
      problems_of(text, {"training=none"}),
      ElementsAre("override 'training=none': training must be a mapping of keys to values, found 'none'"));
}

TEST(problems, model_is_a_list_of_layers) {
  EXPECT_THAT(problems_of(minimal_with("model", "model: []")),
              ElementsAre("x.yaml:3:8: model must be a list of at least one layer, found none"));
  EXPECT_THAT(problems_of(minimal_with("model", "model: {dense: {units: 3}}")),
              ElementsAre("x.yaml:3:8: model must be a list of at least one layer, found a mapping"));
  EXPECT_THAT(problems_of(minimal_with("model", "model: [[relu]]")),
              ElementsAre("x.yaml:3:9: model.0 must be a mapping of keys to values, found a list"));
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: [{}]")),
      ElementsAre(
          "x.yaml:3:9: model.0 must be conv2d, max_pool, avg_pool, dense, relu, tanh, sigmoid, flatten "
          "or dropout"));
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: [rellu, batch_norm: {}]")),
      ElementsAre(
          "x.yaml:3:9: unknown layer 'rellu', did you mean 'relu'?",
          "x.yaml:3:16: unknown layer 'batch_norm', the layers here are conv2d, max_pool, avg_pool, dense, "
          "relu, tanh, sigmoid, flatten and dropout"));
}

TEST(problems, habits_from_other_programs_get_an_answer) {
  const std::string mapping = "must be a mapping of keys to values, found ";
  EXPECT_THAT(problems_of(minimal_with("model", "model: [dense: 10, dropout: 0.5, relu: 2]")),
              ElementsAre("x.yaml:3:16: model.0 " + mapping + "'10': did you mean {dense: {units: 10}}?",
                          "x.yaml:3:29: model.1 " + mapping + "'0.5': did you mean {dropout: {rate: 0.5}}?",
                          "x.yaml:3:40: model.2 " + mapping + "'2'"));
  // What would not do in that place is no hint.
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: [conv2d: 32, dense: relu, dropout: 2]")),
      ElementsAre("x.yaml:3:17: model.0 " + mapping + "'32'", "x.yaml:3:28: model.1 " + mapping + "'relu'",
                  "x.yaml:3:43: model.2 " + mapping + "'2'"));
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: [dense: {units: 3, activation: relu}, softmax]")),
      ElementsAre("x.yaml:3:27: unknown key 'activation': relu, tanh and sigmoid are layers of their "
                  "own, as in '- relu'",
                  "x.yaml:3:46: unknown layer 'softmax': leave it out, the loss softmax_cross_entropy "
                  "takes raw scores"));
}

TEST(problems, keys_beside_a_layer_are_an_indentation_error) {
  EXPECT_THAT(
      problems_of(minimal_with("model", "model:\n  - dense:\n    units: 3\n  - {relu: {}, tanh: {}}")),
      ElementsAre(
          "x.yaml:5:5: 'units' stands beside 'dense': indent it further if it is a key of dense, or begin "
          "another layer with '- '",
          "x.yaml:6:16: 'tanh' stands beside 'relu': indent it further if it is a key of relu, or begin "
          "another layer with '- '"));
}

TEST(problems, optimizer_is_exactly_one) {
  EXPECT_THAT(
      problems_of(minimal_with("optimizer", "optimizer: {adamw: {}, sgd: {}}")),
      ElementsAre("x.yaml:4:24: optimizer can have one optimizer only, and 'adamw' is given at x.yaml:4:13"));
  EXPECT_THAT(problems_of(minimal_with("optimizer", "optimizer: {}")),
              ElementsAre("x.yaml:4:12: optimizer must be sgd or adamw"));
  EXPECT_THAT(problems_of(minimal_with("optimizer", "optimizer: adamm")),
              ElementsAre("x.yaml:4:12: unknown optimizer 'adamm', did you mean 'adamw'?"));
}

TEST(problems, initialiser_without_its_number_is_told_the_form) {
  EXPECT_THAT(
      problems_of(minimal_with("model", "model: [dense: {units: 1, init: uniform}]")),
      ElementsAre(
          "x.yaml:3:33: model.0.init.uniform needs its value, a number above 0 and at most 1000000, as in "
          "{uniform: 0.05}"));
}

TEST(problems, all_are_reported_in_the_order_of_the_file) {
  EXPECT_THAT(
      problems_of("name: a b\n"
                  "data:\n"
                  "  train: {file: a, images: b}\n"
                  "  shuffle: yes\n"
                  "seed: 1\n"
                  "model:\n"
                  "  - conv2d: {filters: 0, kernel: [1, 2, 3]}\n"
                  "  - rellu\n"
                  "seed: 2\n"
                  "optimizer: {sgd: {momentum: 1}}\n"
                  "training: {epochs: x, batch: 1}\n"
                  "schedule: {cosin: {}}\n"),
      ElementsAre(
          HasSubstr("x.yaml:1:7: name must be"), HasSubstr("x.yaml:3:10: data.train lacks the key 'labels'"),
          HasSubstr("x.yaml:4:12: data.shuffle must be none, stripes or global, found 'yes'"),
          HasSubstr("x.yaml:7:23: model.0.filters must be"),
          HasSubstr("x.yaml:7:34: model.0.kernel must be an integer from 1 to 4096, or two of them as "
                    "[height, width], found a list"),
          HasSubstr("x.yaml:8:5: unknown layer 'rellu'"), HasSubstr("x.yaml:9:1: duplicate key 'seed'"),
          HasSubstr(
              "x.yaml:10:29: optimizer.sgd.momentum must be a number of at least 0 and below 1, found '1'"),
          HasSubstr("x.yaml:11:20: training.epochs must be"),
          HasSubstr("x.yaml:12:12: unknown key 'cosin', did you mean 'cosine'?")));
}

TEST(problems, flood_is_counted_not_listed) {
  std::string text = minimal;
  for (int i = 0; i < 200; ++i) text += "zzz" + std::to_string(i) + ": 1\n";
  const std::vector<std::string> lines = problems_of(text);
  ASSERT_THAT(lines, SizeIs(51));
  EXPECT_EQ(lines[0].substr(0, 12), "x.yaml:6:1: ");
  EXPECT_EQ(lines[50], "… and 150 more problems");
}

TEST(problems, found_text_is_shown_short_and_printable) {
  EXPECT_THAT(problems_of(minimal_with("loss", "loss: \"a\\tb\\e" + std::string(500, 'x') + "\"")),
              ElementsAre(::testing::EndsWith("found the text 'a?b?" + std::string(56, 'x') + "…'")));
}

}  // namespace
}  // namespace lockstep::config
