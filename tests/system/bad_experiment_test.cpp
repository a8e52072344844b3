// Experiments that cannot be trained: one message, whatever the number of ranks, and no trace of a run.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

class BadExperimentTest : public SystemTest, public ::testing::WithParamInterface<int> {
 protected:
  void TearDown() override {
    EXPECT_FALSE(std::filesystem::exists(file("runs"))) << "a run folder was made";
    SystemTest::TearDown();
  }
  /// `lockstep train` of a file, or of the shipped softmax experiment if it is empty.
  ProcessResult train(const std::string& experiment, const Words& overrides = {},
                      const std::map<std::string, std::string>& environment = {}) {
    Words words = train_shipped("mnist_softmax", small_file(), into("run", overrides));
    if (!experiment.empty()) words[1] = experiment;
    return run(words, {.ranks = GetParam(), .environment = environment});
  }
};

TEST_P(BadExperimentTest, NoFile) {
  expect_failure(train(file("none.yaml")), ExitCode::no_input, {file("none.yaml"), "No such file"});
}

TEST_P(BadExperimentTest, Folder) {
  expect_failure(train(folder()), ExitCode::no_input, {folder(), "is a folder, not an experiment file"});
}

TEST_P(BadExperimentTest, AllProblemsAreReportedOnce) {
  std::string text = contents(source("configs/mnist_softmax.yaml"));
  const auto replace = [&](const std::string& from, const std::string& to) {
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
  };
  replace("seed: 1", "sede: 1");
  replace("shuffle: stripes", "shuffle: sometimes");
  replace("epochs: 20", "epochs: 0");
  replace("batch: 128", "batch: many");
  text += "name: again\n";
  const ProcessResult result = train(write("bad.yaml", text));
  const std::string at = file("bad.yaml") + ":";
  expect_failure(result, ExitCode::bad_config,
                 {at + "10:1: ", "'sede'", "'seed'", "sometimes", "none", "epochs", "batch", "many", "name"});
  for (const int line : {10, 16, 28, 29, 30}) {
    const std::string place = fmt::format("{}{}:", at, line);
    const std::size_t first = result.err.find(place);
    ASSERT_NE(first, std::string::npos) << place << "\n" << result.err;
    EXPECT_EQ(result.err.find(place, first + 1), std::string::npos) << place << "\n" << result.err;
  }
}

TEST_P(BadExperimentTest, WhatIsNoYaml) {
  expect_failure(train(write("bad.yaml", "name: a\n  seed: 1\n")), ExitCode::bad_config,
                 {file("bad.yaml") + ":2:"});
}

TEST_P(BadExperimentTest, AllOverridesAreChecked) {
  expect_failure(train("", {"training.epoch=3", "seed=-1", "training.batch=8.5"}), ExitCode::bad_config,
                 {"training.epoch=3", "epochs", "seed=-1", "training.batch=8.5"});
}

TEST_P(BadExperimentTest, ShapeThatDoesNotFit) {
  std::string text = contents(source("configs/mnist_cnn.yaml"));
  const std::string kernel = "filters: 48, kernel: 5";
  text.replace(text.find(kernel), kernel.size(), "filters: 48, kernel: 13");
  expect_failure(train(write("bad.yaml", text)), ExitCode::bad_config,
                 {"conv2", file("bad.yaml") + ":22", "24×12×12", "13"});
}

TEST_P(BadExperimentTest, DeviceThatIsNotThere) {
  expect_failure(
      train(source("configs/mnist_softmax.yaml"), {"device.kind=cuda", "data.train.file=" + small_file()},
            {{"CUDA_VISIBLE_DEVICES", "-1"}}),  // whatever the machine has
      ExitCode::no_device, {"device.kind", "device.kind=cpu"});
  EXPECT_FALSE(std::filesystem::exists(file("runs")));
}

INSTANTIATE_TEST_SUITE_P(Ranks, BadExperimentTest, ::testing::Values(1, 2));

class RanksTest : public SystemTest {};

TEST_F(RanksTest, MoreThanShardsAreRefused) {
  const ProcessResult result =
      run(train_shipped("mnist_softmax", small_file(), into("run", {"training.shards=2"})), {.ranks = 3});
  expect_failure(result, ExitCode::bad_config,
                 {"3 ranks cannot share 2 shards", "at most 2 ranks", "training.shards=4"});
  EXPECT_FALSE(std::filesystem::exists(file("runs")));
}

}  // namespace
}  // namespace lockstep::testing
