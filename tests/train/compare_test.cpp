// What two runs say about themselves, compared: digests, settings, environments, numbers.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/error_of.h"
#include "train/compare_digests.h"
#include "train/compare_environment.h"
#include "train/compare_settings.h"
#include "train/compare_tensors.h"
#include "train/replay.h"
#include "train/run_json.h"

namespace lockstep::train {
namespace {

using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using metrics::DigestRecord;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Stream = std::vector<DigestRecord>;

/// Epochs of 4 steps, each with another hash, from `first` to `last`, every `every` and at the ends of
/// epochs.
Stream stream(std::int64_t last, std::int64_t every = 1, std::int64_t first = 0) {
  Stream rows;
  for (std::int64_t step = first; step <= last; ++step) {
    const auto salt = static_cast<std::uint64_t>(step);
    DigestRecord row{
        .step = step, .epoch = step == 0 ? 1 : (step + 3) / 4, .weights = 1000 + salt, .at_epoch_end = {}};
    if (step > 0 && step % 4 == 0)
      row.at_epoch_end = metrics::EpochDigests{2000 + salt, 3000 + salt, 4000 + salt};
    if (row.at_epoch_end || step % every == 0) rows.push_back(row);
  }
  return rows;
}

DigestRecord& at(Stream& rows, std::int64_t step) {
  return *std::ranges::find(rows, step, &DigestRecord::step);
}

TEST(CompareDigests, FindsNothingInEqualStreams) {
  const DigestComparison same = compare_digests(stream(10), stream(10));
  EXPECT_FALSE(same.first);
  EXPECT_EQ(same.compared, 11);
  EXPECT_EQ(same.equal_through, 10);
  const DigestComparison longer = compare_digests(stream(6), stream(10));
  EXPECT_FALSE(longer.first);
  EXPECT_EQ(longer.equal_through, 6);
  EXPECT_EQ(longer.last_a, 6);
  EXPECT_EQ(longer.last_b, 10);
}

TEST(CompareDigests, FindsTheFirstStepWithOtherWeights) {
  for (const std::int64_t step : {0, 1, 4, 7}) {
    Stream other = stream(10);
    for (DigestRecord& row : other)
      if (row.step >= step) row.weights += 1;
    const DigestComparison found = compare_digests(stream(10), other);
    ASSERT_TRUE(found.first);
    EXPECT_EQ(found.first->step, step);
    EXPECT_EQ(found.first->epoch_a, step == 0 ? 1 : (step + 3) / 4);
    EXPECT_TRUE(found.is_pinned());
    EXPECT_EQ(found.equal_through, step == 0 ? std::nullopt : std::optional(step - 1));
    EXPECT_EQ(parts_text(*found.first), "weights");
  }
}

TEST(CompareDigests, FindsWhatDiffersWhileWeightsAreEqual) {
  const auto parts = [](auto&& change) {
    Stream other = stream(10);
    change(*at(other, 8).at_epoch_end);
    const DigestComparison found = compare_digests(stream(10), other);
    return found.first && found.first->step == 8 ? parts_text(*found.first) : "nothing";
  };
  EXPECT_EQ(parts([](auto& epoch) { ++epoch.optimizer; }), "optimizer");
  EXPECT_EQ(parts([](auto& epoch) { ++epoch.samples; }), "order of samples");
  EXPECT_EQ(parts([](auto& epoch) { ++epoch.metrics; }), "metrics");
  EXPECT_EQ(parts([](auto& epoch) { ++epoch.metrics, ++epoch.optimizer; }), "optimizer, metrics");
  EXPECT_EQ(parts([](auto& /*epoch*/) {}), "nothing");
}

TEST(CompareDigests, LooksOnForOtherWeights) {
  Stream other = stream(10);
  ++at(other, 4).at_epoch_end->optimizer;
  EXPECT_EQ(compare_digests(stream(10), other).weights_differ, std::nullopt);
  for (DigestRecord& row : other)
    if (row.step >= 6) row.weights += 1;
  const DigestComparison found = compare_digests(stream(10), other);
  EXPECT_EQ(found.first->step, 4);
  EXPECT_EQ(found.equal_through, 3);
  EXPECT_EQ(found.weights_differ, 6);
}

TEST(CompareDigests, KnowsAnIntervalWhereThereAreGaps) {
  Stream other = stream(12, 3);
  for (DigestRecord& row : other)
    if (row.step >= 5) row.weights += 1;
  const DigestComparison found = compare_digests(stream(12), other);
  ASSERT_TRUE(found.first);
  EXPECT_EQ(found.equal_through, 4);
  EXPECT_EQ(found.first->step, 6);
  EXPECT_FALSE(found.is_pinned());
}

TEST(CompareDigests, StartsWhereBothHaveDigests) {
  const DigestComparison same = compare_digests(stream(10), stream(8, 1, 5));
  EXPECT_FALSE(same.first);
  EXPECT_EQ(same.compared, 4);
  Stream other = stream(8, 1, 5);
  at(other, 5).weights = 0;
  const DigestComparison found = compare_digests(stream(10), other);
  EXPECT_EQ(found.first->step, 5);
  EXPECT_FALSE(found.is_pinned());
  EXPECT_EQ(compare_digests(stream(3), stream(8, 1, 5)).compared, 0);
}

TEST(CompareDigests, AStepOfAnotherEpochIsADifference) {
  Stream other = stream(3);
  at(other, 2).epoch = 2;
  at(other, 3).epoch = 2;
  const DigestComparison found = compare_digests(stream(3), other);
  ASSERT_TRUE(found.first);
  EXPECT_EQ(found.first->step, 2);
  EXPECT_EQ(found.first->epoch_b, 2);
}

std::vector<SetupDifference> settings(const std::string& a, const std::string& b) {
  return compare_settings(parse_experiment(a, "a.yaml"), parse_experiment(b, "b.yaml"));
}

TEST(CompareSettings, NamesKeysWithBothValues) {
  EXPECT_THAT(
      settings("seed: 1\ntraining: {batch: 8, shards: 2}\n", "seed: 1\ntraining: {batch: 9, shards: 2}\n"),
      ElementsAre(SetupDifference{"training.batch", "8", "9"}));
  EXPECT_THAT(settings("seed: 1\ndata: {}\n", "data: {}\nseed: 1\n"), IsEmpty());
  EXPECT_THAT(settings("seed: 1\n", "seed: 1\nnew: {key: 2}\n"),
              ElementsAre(SetupDifference{"new", std::nullopt, "{key: 2}"}));
  EXPECT_THAT(settings("optimizer: {sgd: {learning_rate: 1}}\n", "optimizer: {adamw: {beta1: 0}}\n"),
              ElementsAre(SetupDifference{"optimizer.sgd", "{learning_rate: 1}", std::nullopt},
                          SetupDifference{"optimizer.adamw", std::nullopt, "{beta1: 0}"}));
}

TEST(CompareSettings, LayersGoByTheirNames) {
  const std::string model =
      "model:\n  - conv2d: {name: c, filters: 2, kernel: [5, 3]}\n  - relu\n  - dense: {name: d}\n";
  EXPECT_THAT(
      settings(model,
               "model:\n  - conv2d: {name: c, filters: 3, kernel: [5, 4]}\n  - relu\n  - dense: {name: d}\n"),
      ElementsAre(SetupDifference{"model.c.filters", "2", "3"},
                  SetupDifference{"model.c.kernel", "[5, 3]", "[5, 4]"}));
  EXPECT_THAT(
      settings(model,
               "model:\n  - conv2d: {name: c, filters: 2, kernel: [5, 3]}\n  - tanh\n  - dense: {name: d}\n"),
      ElementsAre(SetupDifference{"model.relu_1", "relu", std::nullopt},
                  SetupDifference{"model.tanh_1", std::nullopt, "tanh"}));
  EXPECT_THAT(
      settings(model,
               "model:\n  - relu\n  - conv2d: {name: c, filters: 2, kernel: [5, 3]}\n  - dense: {name: d}\n"),
      ElementsAre(SetupDifference{"model", "c, relu_1, d", "relu_1, c, d"}));
  EXPECT_THAT(settings("model: [{dense: {name: d, units: 1}}]\n", "model: [{conv2d: {name: d}}]\n"),
              ElementsAre(SetupDifference{"model.d", "{dense: {name: d, units: 1}}", "{conv2d: {name: d}}"}));
}

TEST(CompareSettings, WhatIsNoYamlIsNamed) {
  const Error error = error_of([] { parse_experiment("a: [1\n", "runs/x/experiment.yaml"); });
  EXPECT_EQ(error.code(), ExitCode::bad_data);
  EXPECT_NE(std::string(error.what()).find("runs/x/experiment.yaml:"), std::string::npos) << error.what();
}

TEST(CompareSettings, KnowsWhatChangesNoBit) {
  for (const char* key : {"name", "output.dir", "output", "device.threads", "digests.every",
                          "checkpoint.keep", "data.train.file"})
    EXPECT_FALSE(changes_results(key)) << key;
  for (const char* key :
       {"seed", "device.kind", "training.batch", "data.train.images", "names", "model.name.units"})
    EXPECT_TRUE(changes_results(key)) << key;
}

TEST(CompareEnvironments, TellsArithmeticFromLayout) {
  const std::string a =
      R"json({"started": "1", "ranks": 1, "threads": [2], "device": "cpu (avx2)", "exchange": "self",
    "hosts": [{"name": "n1", "cpu": "X"}], "build": {"version": "1"}, "libraries": {"HDF5": "1.10", "oneDNN": "2"}})json";
  const std::string b =
      R"json({"started": "2", "ranks": 3, "threads": [2], "device": "cpu (avx2)", "exchange": "self",
    "hosts": [{"name": "n2", "cpu": "Y"}, {"name": "n1", "cpu": "X"}], "build": {"version": "1"},
    "libraries": {"oneDNN": "3", "MPI": "5"}
})json";
  const auto compare = [](const std::string& of_a, const std::string& of_b) {
    return compare_environments(std::vector<Session>{{0, of_a, "a.json"}},
                                std::vector<Session>{{0, of_b, "b.json"}});
  };
  const EnvironmentDifferences found = compare(a, b);
  EXPECT_THAT(found.arithmetic, ElementsAre(SetupDifference{"libraries.HDF5", "1.10", std::nullopt},
                                            SetupDifference{"libraries.oneDNN", "2", "3"},
                                            SetupDifference{"libraries.MPI", std::nullopt, "5"},
                                            SetupDifference{"processor", "X", "X, Y"}));
  EXPECT_THAT(found.layout,
              ElementsAre(SetupDifference{"ranks", "1", "3"}, SetupDifference{"hosts", "n1", "n1, n2"}));
  expect_error(error_of([&] { compare(a, "{"); }), ExitCode::bad_data, {"b.json"});
}

TEST(CompareEnvironments, ValuesAreFollowedThroughTheSessionsOfARun) {
  const auto session = [](std::int64_t after, int ranks, const std::string& set, const std::string& more) {
    return Session{.after = after,
                   .environment = fmt::format(
                       R"json({{"ranks": {}, "instruction_set": "{}", "arithmetic": "of {}"{}}})json", ranks,
                       set, set, more),
                   .file = "environment.json"};
  };
  const std::vector<Session> still{session(0, 2, "avx2", ""), session(7, 2, "avx2", "")};
  const std::vector<Session> moved{session(0, 2, "avx2", ""), session(10, 3, "avx2", ""),
                                   session(20, 3, "avx", R"(, "variables": {"DNNL_X": "1"})")};
  const EnvironmentDifferences found = compare_environments(still, moved);
  EXPECT_THAT(found.arithmetic,
              ElementsAre(SetupDifference{"instruction_set", "avx2", "avx2, from step 21 on avx"},
                          SetupDifference{"arithmetic", "of avx2", "of avx2, from step 21 on of avx"},
                          SetupDifference{"variables.DNNL_X", std::nullopt, "-, from step 21 on 1"}));
  EXPECT_THAT(found.layout, ElementsAre(SetupDifference{"ranks", "2", "2, from step 11 on 3"}));
  EXPECT_THAT(compare_environments(moved, moved).arithmetic, IsEmpty());
}

TEST(JsonValue, IsATextOrJsonOrNothing) {
  EXPECT_EQ(json_value(R"({"a": "x", "b": [1, 2]})", "a"), "x");
  EXPECT_EQ(json_value(R"({"a": "x", "b": [1, 2]})", "b"), "[1,2]");
  for (const char* json : {R"({"a": 1})", "[1]", "{", ""}) EXPECT_EQ(json_value(json, "b"), std::nullopt);
  EXPECT_EQ(json_value_of_file("/nowhere/summary.json", "status"), std::nullopt);
}

TEST(CompareValues, CountsOtherBits) {
  const std::vector<float> a{1, 2, 3, 0, 5};
  EXPECT_EQ(compare_values(a, a), std::nullopt);
  EXPECT_EQ(compare_values(a, std::vector<float>{1, 2.5, 3, -0.0F, 4}),
            (ValueDifference{.count = 3, .largest = 1, .first = 1}));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(compare_values(std::vector{nan}, std::vector{nan}), std::nullopt);
  const auto found = compare_values(std::vector{0.0F, nan, 0.0F}, std::vector{1.0F, 0.0F, 9.0F});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->count, 3);
  EXPECT_TRUE(std::isnan(found->largest));
}

TEST(CompareValues, ThePlaceIsAnIndexForEachAxis) {
  EXPECT_EQ(index_text({2, 3, 4}, 0), "[0, 0, 0]");
  EXPECT_EQ(index_text({2, 3, 4}, 23), "[1, 2, 3]");
  EXPECT_EQ(index_text({2, 3, 4}, 5), "[0, 1, 1]");
  EXPECT_EQ(index_text({}, 0), "[]");
}

TEST(ShellWord, IsQuotedWhereItHasToBe) {
  EXPECT_EQ(shell_word("runs/a-1_b.h5"), "runs/a-1_b.h5");
  EXPECT_EQ(shell_word("my runs/$x"), "'my runs/$x'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
}

}  // namespace
}  // namespace lockstep::train
