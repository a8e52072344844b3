// `lockstep audit`: what the epochs of a run do with its samples, found out from its experiment alone.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <regex>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class AuditTest : public SystemTest {
 protected:
  void train(const std::string& name, const Words& overrides = {}, int ranks = 1) const {
    Words all = into(name, {"training.epochs=3", "data.shuffle=stripes"});
    all.insert(all.end(), overrides.begin(), overrides.end());
    expect_success(run(train_shipped("mnist_softmax", small_file(), all), {.ranks = ranks}));
  }
  /// The shipped experiment, with small_file() as its data.
  [[nodiscard]] Words experiment(const Words& others) const {
    Words words = train_shipped("mnist_softmax", small_file(), others);
    words.front() = "audit";
    return words;
  }
  /// What stands after "epoch N:", in order.
  static std::vector<std::string> orders(const std::string& text) {
    std::vector<std::string> found;
    const std::regex line("\n  epoch ([0-9]+): ([0-9a-f]{16})(?=\n)");
    for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) {
      found.push_back((*at)[2].str());
      EXPECT_EQ((*at)[1].str(), std::to_string(found.size())) << text;
    }
    return found;
  }
};

TEST_F(AuditTest, ProvesARunOnAnyRanks) {
  train("run", {}, 3);
  const ProcessResult alone = run({"audit", run_folder("run")});
  expect_success(alone);
  EXPECT_THAT(alone.out, AllOf(HasSubstr("10,000 in " + small_file()), HasSubstr("each stripe shuffled"),
                               HasSubstr("79 an epoch of 128 samples, the last of 16, each in 8 shards"),
                               HasSubstr("on 3 ranks")));
  EXPECT_THAT(alone.out, HasSubstr("epochs 1 to 3: each of 10,000 samples is used exactly once, with "
                                   "1, 2, 3, 4 or 8 ranks in the same step and by one rank\n"));
  const auto digests = orders(alone.out);
  ASSERT_EQ(digests.size(), 3U) << alone.out;
  EXPECT_NE(digests[0], digests[1]);
  EXPECT_NE(digests[1], digests[2]);

  const ProcessResult together = run({"audit", run_folder("run")}, {.ranks = 3});
  expect_success(together);
  EXPECT_EQ(together.out, alone.out) << "only rank 0 says it";
}

TEST_F(AuditTest, OrderIsThatWhichTheRunRecorded) {
  train("run", {}, 3);
  std::vector<std::string> recorded;
  const std::string digests = contents(run_folder("run") + "/digests.csv");
  const std::regex end_of_epoch("\n[0-9]+,[0-9]+,[0-9a-f]{16},[0-9a-f]{16},([0-9a-f]{16}),");
  for (std::sregex_iterator at(digests.begin(), digests.end(), end_of_epoch), end; at != end; ++at)
    recorded.push_back((*at)[1].str());
  ASSERT_EQ(recorded.size(), 3U) << digests;
  const ProcessResult result = run({"audit", run_folder("run")});
  expect_success(result);
  EXPECT_EQ(orders(result.out), recorded);
}

TEST_F(AuditTest, ChecksTheRanksOfTheRunToo) {
  train("run", {}, 5);
  EXPECT_THAT(run({"audit", run_folder("run")}).out, HasSubstr("with 1, 2, 3, 4, 5 or 8 ranks in"));
  EXPECT_THAT(run({"audit", run_folder("run"), "--ranks", "7,2,7"}).out, HasSubstr("with 2 or 7 ranks in"));
}

TEST_F(AuditTest, TellsWhoReadsASample) {
  // Row 5,001 in file order: step 40 of 128 begins at row 4,992, and row 9 of it is the second in shard 0.
  const ProcessResult in_order =
      run(experiment({"data.shuffle=none", "--sample", "5001", "--epoch", "2", "-n", "1,4"}));
  expect_success(in_order);
  EXPECT_THAT(in_order.out,
              HasSubstr("\nsample 5001\n  epoch 2, step 40 (its row 9), shard 0: rank 0 of 1, 0 of 4\n"));
  EXPECT_THAT(in_order.out, HasSubstr("\nepoch 2: each of 10,000 samples is used exactly once,"));
  EXPECT_THAT(in_order.out, Not(HasSubstr("epoch 1,")));

  // With stripes, always in the shard of its stripe: the last here.
  const ProcessResult shuffled =
      run(experiment({"data.shuffle=stripes", "training.epochs=3", "--sample", "5119", "-n", "3,8"}));
  expect_success(shuffled);
  const std::regex line(
      "\n  epoch [123], step [0-9]+ \\(its row (11[2-9]|12[0-7]|1[45])\\), shard 7: rank 2 of 3, 7 of "
      "8(?=\n)");
  EXPECT_EQ(std::distance(std::sregex_iterator(shuffled.out.begin(), shuffled.out.end(), line), {}), 3)
      << shuffled.out;
}

TEST_F(AuditTest, SettingsOfAnExperimentFileCanBeChanged) {
  const ProcessResult result =
      run(experiment({"training.batch=100", "training.shards=2", "training.epochs=1"}));
  expect_success(result);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("100 an epoch of 100 samples, each in 2 shards"),
                    HasSubstr("epoch 1: each of 10,000 samples is used exactly once, with 1 or 2 ranks in")));
}

class AuditErrorsTest : public AuditTest, public ::testing::WithParamInterface<int> {
 protected:
  void expect_refused(const Words& words, ExitCode code, const std::vector<std::string>& parts) const {
    const ProcessResult result = run(words, {.ranks = GetParam()});
    expect_failure(result, code, parts);
    EXPECT_EQ(result.out, "");
  }
};
INSTANTIATE_TEST_SUITE_P(Ranks, AuditErrorsTest, ::testing::Values(1, 2));

TEST_P(AuditErrorsTest, NoSuchRun) {
  expect_refused({"audit", run_folder("none")}, ExitCode::no_input,
                 {"no run and no experiment file '" + run_folder("none") + "'"});
  fs::create_directories(run_folder("empty"));
  expect_refused({"audit", run_folder("empty")}, ExitCode::no_input,
                 {run_folder("empty"), "is not the folder of a run"});
}

TEST_P(AuditErrorsTest, OutOfRange) {
  expect_refused(experiment({"--sample", "10000"}), ExitCode::usage, {"no sample 10000", "0 to 9999"});
  expect_refused(experiment({"training.epochs=3", "--epoch", "4"}), ExitCode::usage,
                 {"no epoch 4", "epochs 1 to 3"});
  expect_refused(experiment({"--ranks", "2,9"}), ExitCode::bad_config,
                 {"9 ranks cannot share 8 shards", "training.shards=16"});
}

TEST_P(AuditErrorsTest, SettingsOfARunStayAsTheyAre) {
  train("run");
  expect_refused({"audit", run_folder("run"), "training.batch=100"}, ExitCode::usage,
                 {"training.batch=100", "experiment.yaml"});
}

TEST_P(AuditErrorsTest, DataThatIsGone) {
  fs::copy_file(small_file(), file("data.h5"));
  train("run", {"data.train.file=" + file("data.h5")});
  fs::rename(file("data.h5"), file("moved.h5"));
  const std::string recorded = run_folder("run") + "/experiment.yaml";
  expect_refused({"audit", run_folder("run")}, ExitCode::no_input,
                 {file("data.h5"), "lockstep audit " + recorded + " data.train.file=PATH"});
  expect_success(run({"audit", recorded, "data.train.file=" + file("moved.h5")}, {.ranks = GetParam()}));
}

TEST_F(AuditTest, WrongCommandLineIs64) {
  for (const Words& words : {Words{"audit"},
                             {"audit", "x.yaml", "--epoch", "0"},
                             {"audit", "x.yaml", "--sample", "-1"},
                             {"audit", "x.yaml", "--ranks", "0"},
                             {"audit", "x.yaml", "--ranks", "2,two"}}) {
    const ProcessResult result = run(words);
    EXPECT_EQ(result.status, 64) << quoted(words);
    EXPECT_THAT(result.err, HasSubstr("--help")) << quoted(words);
    EXPECT_EQ(result.out, "") << quoted(words);
  }
}

}  // namespace
}  // namespace lockstep::testing
