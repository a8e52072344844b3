// `lockstep evaluate`: the metrics of a run, again, from its final weights.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class EvaluateTest : public SystemTest {
 protected:
  void train(const std::string& name, const Words& overrides = {}, int ranks = 1) const {
    Words all = into(name, {"training.epochs=1"});
    all.insert(all.end(), overrides.begin(), overrides.end());
    expect_success(run(train_shipped("mnist_softmax", small_file(), all), {.ranks = ranks}));
  }
  [[nodiscard]] ProcessResult evaluate(const std::string& name, int ranks = 1) const {
    return run({"evaluate", run_folder(name)}, {.ranks = ranks});
  }
};

TEST_F(EvaluateTest, GivesTheRecordedMetricsToTheBitOnAnyRanks) {
  train("run", {}, 2);
  const nlohmann::json last = json_of(run_folder("run") + "/summary.json")["last"];
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(fmt::format("{} ranks", ranks));
    const ProcessResult result = evaluate("run", ranks);
    expect_success(result);
    EXPECT_THAT(result.out,
                HasSubstr(fmt::format("validation loss {} accuracy {}\n", last["val_loss"].get<double>(),
                                      last["val_accuracy"].get<double>())));
    EXPECT_THAT(result.out, HasSubstr("the same as the run recorded, to the bit"));
  }
}

TEST_F(EvaluateTest, FindsTheDataFromAnyDirectory) {
  fs::create_directories(file("there"));
  fs::create_directories(file("elsewhere"));
  fs::copy_file(small_file(), file("there/data.h5"));
  expect_success(run(train_shipped("mnist_softmax", "data.h5", into("run", {"training.epochs=1"})),
                     {.folder = file("there")}));
  expect_success(run({"evaluate", "../runs/run"}, {.ranks = 2, .folder = file("elsewhere")}));
}

/// Runs whose folder only rank 0 can see: the wrapper hides it from the others by another current directory.
TEST_F(EvaluateTest, NeedsTheRunFolderOnRankZeroOnly) {
  train("run");
  fs::create_directories(file("elsewhere"));
  const Job job{
      .ranks = 2,
      .wrapper = {"sh", "-c", "[ \"$OMPI_COMM_WORLD_RANK\" = 0 ] || cd elsewhere; exec \"$@\"", "sh"},
      .folder = folder()};
  expect_success(run({"evaluate", "runs/run"}, job));
}

TEST_F(EvaluateTest, SaysWhenTheMetricsAreOthers) {
  train("run");
  nlohmann::json summary = json_of(run_folder("run") + "/summary.json");
  summary["last"]["val_loss"] = summary["last"]["val_loss"].get<double>() * (1 + 1e-15);
  write_file(run_folder("run") + "/summary.json", summary.dump());
  const ProcessResult result = evaluate("run");
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("not the same"));
  EXPECT_THAT(result.out, Not(HasSubstr("to the bit")));
}

TEST_F(EvaluateTest, LeavesTheRunAsItWas) {
  train("run");
  const auto all_files = [&] {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(run_folder("run")))
      if (entry.is_regular_file()) files[entry.path().string()] = contents(entry.path().string());
    return files;
  };
  const auto before = all_files();
  expect_success(evaluate("run", 2));
  EXPECT_TRUE(before == all_files());
}

class EvaluateErrorsTest : public EvaluateTest, public ::testing::WithParamInterface<int> {
 protected:
  void expect_refused(const std::string& name, ExitCode code, const std::vector<std::string>& parts) const {
    expect_failure(evaluate(name, GetParam()), code, parts);
  }
};

TEST_P(EvaluateErrorsTest, NoSuchRun) {
  expect_refused("none", ExitCode::no_input, {run_folder("none"), "not the folder of a run"});
}

TEST_P(EvaluateErrorsTest, FolderOfNoRun) {
  fs::create_directories(run_folder("empty"));
  expect_refused("empty", ExitCode::no_input, {run_folder("empty"), "is not the folder of a run"});
}

TEST_P(EvaluateErrorsTest, NoWeights) {
  train("run");
  fs::remove(run_folder("run") + "/final_weights.h5");
  expect_refused("run", ExitCode::no_input, {run_folder("run") + "/final_weights.h5"});
}

TEST_P(EvaluateErrorsTest, NoValidationSet) {
  std::string text = contents(source("configs/mnist_softmax.yaml"));
  const std::size_t line = text.find("  validation:");
  text.erase(line, text.find('\n', line) + 1 - line);
  Words words = into("run", {"training.epochs=1", "data.train.file=" + small_file()});
  words.insert(words.begin(), {"train", write("no_validation.yaml", text)});
  expect_success(run(words));
  expect_refused("run", ExitCode::bad_config, {"data.validation", run_folder("run")});
}

TEST_P(EvaluateErrorsTest, DataThatIsGone) {
  fs::copy_file(small_file(), file("data.h5"));
  train("run", {"data.validation.file=" + file("data.h5")});
  fs::remove(file("data.h5"));
  expect_refused("run", ExitCode::no_input, {file("data.h5")});
}

TEST_P(EvaluateErrorsTest, WeightsOfAnotherModel) {
  train("run");
  std::string text = contents(run_folder("run") + "/experiment.yaml");
  const std::string flatten = "  - flatten:";
  text.insert(text.find(flatten), "  - max_pool: {size: 2}\n");
  write_file(run_folder("run") + "/experiment.yaml", text);
  expect_refused("run", ExitCode::bad_data,
                 {run_folder("run") + "/final_weights.h5", "scores.weight", "10×784", "10×196"});
}

TEST_P(EvaluateErrorsTest, DamagedWeights) {
  train("run");
  const std::string path = run_folder("run") + "/final_weights.h5";
  std::string bytes = contents(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(path, bytes);
  expect_refused("run", ExitCode::bad_data, {path, "the file is damaged"});
}

TEST_P(EvaluateErrorsTest, MoreRanksThanShards) {
  train("run", {"training.shards=1"});
  if (GetParam() == 1)
    expect_success(evaluate("run"));
  else
    expect_refused("run", ExitCode::bad_config, {"2 ranks cannot share 1 shard"});
}

INSTANTIATE_TEST_SUITE_P(Ranks, EvaluateErrorsTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace lockstep::testing
