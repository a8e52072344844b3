// `lockstep compare`, and the digests by which it compares.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "checkpoint/samples.h"
#include "checkpoint/store.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Two epochs of 79 steps.
class CompareTest : public SystemTest {
 protected:
  ProcessResult train(const std::string& name, const Words& overrides = {}, int ranks = 1) const {
    Words all = into(name, {"training.epochs=2"});
    all.insert(all.end(), overrides.begin(), overrides.end());
    const ProcessResult result = run(train_shipped("mnist_softmax", small_file(), all), {.ranks = ranks});
    expect_success(result);
    return result;
  }
  [[nodiscard]] ProcessResult compare(const std::string& a, const std::string& b, int ranks = 1) const {
    return run({"compare", run_folder(a), run_folder(b)}, {.ranks = ranks});
  }
  static void expect_different(const ProcessResult& result) {
    EXPECT_EQ(result.status, static_cast<int>(ExitCode::different)) << result.err;
    EXPECT_EQ(result.err, "");
  }
  /// The file with `change` done to its line of this number, from 1.
  template <class F>
  void edit_line(const std::string& path, std::size_t number, F&& change) const {
    std::istringstream text(contents(path));
    std::string edited, line;
    for (std::size_t at = 1; std::getline(text, line); ++at) {
      if (at == number) change(line);
      edited += line + "\n";
    }
    write_file(path, edited);
  }
};

TEST_F(CompareTest, RunsOnOtherRanksAreIdentical) {
  train("one");
  train("three", {"device.threads=1"}, 3);
  const ProcessResult alone = compare("one", "three");
  expect_success(alone);
  EXPECT_THAT(alone.out, StartsWith("identical through step 158, where both end\n"));
  EXPECT_THAT(alone.out, HasSubstr("without influence on results"));
  EXPECT_THAT(alone.out, Not(HasSubstr("settings")));
  const ProcessResult together = compare("one", "three", 2);
  expect_success(together);
  EXPECT_EQ(together.out, alone.out) << "only rank 0 says it";
}

TEST_F(CompareTest, ARunThatWentOnOnOtherRanksIsIdentical) {
  train("one");
  train("two", {"device.threads=1", "--until", "100"}, 3);
  expect_success(run({"resume", run_folder("two")}, {.ranks = 2}));
  const ProcessResult result = compare("one", "two");
  expect_success(result);
  EXPECT_THAT(result.out, StartsWith("identical through step 158, where both end\n"));
  EXPECT_THAT(result.out, ContainsRegex("\n  ranks +1 +3, from step 101 on 2\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("data, build, libraries, processor")));
}

TEST_F(CompareTest, AnotherSeedDiffersFromTheStart) {
  train("one");
  train("two", {"seed=2"});
  const ProcessResult result = compare("one", "two");
  expect_different(result);
  EXPECT_THAT(result.out,
              AllOf(StartsWith("different from the start: weights\n"), HasSubstr("\n  seed    1  2\n"),
                    HasSubstr("\n> weights/scores.weight  7840 of 7840  by up to ")));
}

TEST_F(CompareTest, AnotherScheduleDiffersAfterSomeSteps) {
  train("one", {"schedule={step: {every: 1, factor: 0.5}}"});
  train("two", {"schedule={step: {every: 1, factor: 0.25}}", "digests.every=7"});
  const ProcessResult result = compare("one", "two");
  expect_different(result);
  // The first epoch is the same; its end has a digest in both.
  EXPECT_THAT(result.out, StartsWith("different, first between steps 79 and 84 (epoch 2): weights\n"));
}

TEST_F(CompareTest, AnAlteredDigestIsFoundAndTheTensorsAreNotToBlame) {
  train("one");
  fs::copy(run_folder("one"), run_folder("two"), fs::copy_options::recursive);
  // The header, then step 0.
  edit_line(run_folder("two") + "/digests.csv", 102, [](std::string& line) {
    ASSERT_THAT(line, StartsWith("100,2,"));
    line[6] = line[6] == '0' ? '1' : '0';
  });
  const ProcessResult result = compare("one", "two");
  expect_different(result);
  EXPECT_THAT(result.out,
              StartsWith("different from step 100 on (epoch 2): weights\nidentical through step 99\n"));
  EXPECT_THAT(result.out, HasSubstr("\nall tensors are equal after step 158\n"));
  EXPECT_THAT(result.out, HasSubstr("nothing in the set-up explains it"));
  EXPECT_THAT(result.out,
              HasSubstr("--until 100 output.name=two-replay digests.every=1 device.instruction_set="));

  edit_line(run_folder("two") + "/digests.csv", 102, [](std::string& line) { line = "100,2,?,,,"; });
  expect_failure(compare("one", "two"), ExitCode::bad_data, {"two/digests.csv:102: ", "100,2,?,,,"});
}

TEST_F(CompareTest, OtherModelsAreCompared) {
  train("one");
  Words all = into("two", {"training.epochs=1"});
  expect_success(run(train_shipped("smoke", small_file(), all)));
  const ProcessResult result = compare("one", "two");
  expect_different(result);
  EXPECT_THAT(result.out, AllOf(StartsWith("different from the start: weights\n"),
                                HasSubstr("\n  model.relu_1 "), HasSubstr("\n  training.epochs ")));
}

TEST_F(CompareTest, WhatIsNoRunIsRefused) {
  train("one");
  expect_failure(compare("one", "none"), ExitCode::no_input, {run_folder("none"), "not the folder of a run"});
  fs::remove(run_folder("one") + "/digests.csv");
  expect_failure(compare("one", "one"), ExitCode::no_input, {run_folder("one") + "/digests.csv"});
}

TEST_F(CompareTest, DigestsEveryKStepsAndAtTheEndsOfEpochs) {
  const ProcessResult all = train("all");
  train("some", {"digests.every=50"});
  train("few", {"digests.every=0"});
  const auto steps = [this](const std::string& name) {
    std::string found;
    std::istringstream text(contents(run_folder(name) + "/digests.csv"));
    for (std::string line; std::getline(text, line);) found += line.substr(0, line.find(',')) + " ";
    return found;
  };
  EXPECT_EQ(steps("some"), "step 0 50 79 100 150 158 ");
  EXPECT_EQ(steps("few"), "step 0 79 158 ");
  for (const char* name : {"some", "few"}) expect_success(compare("all", name));

  // The last line that a training prints is its last digest.
  const std::string digest = json_of(run_folder("all") + "/summary.json")["weights_digest"];
  EXPECT_EQ(digest.size(), 16U);
  EXPECT_THAT(all.out, EndsWith("\n  digest     " + digest + "\n"));
  EXPECT_THAT(contents(run_folder("few") + "/digests.csv"), HasSubstr("\n158,2," + digest + ","));
  EXPECT_THAT(run({"inspect", run_folder("all")}).out, HasSubstr(digest));
}

/// The lines that compare prints for a shell, run one after the other: the last one's result.
ProcessResult run_what_it_says(const std::string& text) {
  ProcessResult last;
  std::istringstream lines(text);
  int commands = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find(program()) == std::string::npos) continue;
    last = run_process({"sh", "-c", line}, {.environment = environment()});
    ++commands;
  }
  EXPECT_EQ(commands, 3) << text;
  return last;
}

TEST_F(CompareTest, ReplayFindsTheStepAndItsTensors) {
  const Words often = {"checkpoint.every_steps=40", "checkpoint.keep=100", "digests.every=50",
                       "checks.arithmetic_every=0"};
  train("a", often);
  // A bit of a gradient, which no memory check can notice.
  Words flipped = often;
  flipped.insert(flipped.end(), {"faults=[flip: {rank: 0, step: 60, target: gradient, element: 77, bit: 30}]",
                                 "--allow-faults"});
  train("b", flipped);
  const ProcessResult first = compare("a", "b");
  expect_different(first);
  EXPECT_THAT(first.out, AllOf(StartsWith("different"), HasSubstr("between steps 50 and 79"),
                               HasSubstr("--from " + run_folder("a") + "/checkpoints/step-000000000040.h5")));
  const ProcessResult second = run_what_it_says(first.out);
  expect_different(second);
  EXPECT_THAT(second.out, AllOf(HasSubstr("step 60"), HasSubstr("scores.weight")));
}

TEST_F(CompareTest, OtherDataAreAReason) {
  train("a");
  train("c", {"data.train.file=" + mnist_file(), "--until", "20"});
  const ProcessResult other_file = compare("a", "c");
  expect_different(other_file);
  EXPECT_THAT(other_file.out,
              AllOf(HasSubstr("10000 samples"), HasSubstr("60000 samples"), Not(HasSubstr("arithmetic"))));
}

TEST_F(CompareTest, InspectShowsCheckpoints) {
  train("run", {"checkpoint.keep=0"});
  const std::string folder = run_folder("run") + "/checkpoints";
  const checkpoint::Store store(folder);
  store.prepare();
  const Parameters model = checkpoint::small_model();
  for (const std::int64_t step : {100, 50}) {
    checkpoint::Snapshot snapshot = checkpoint::snapshot_of(model, step);
    snapshot.experiment = contents(run_folder("run") + "/experiment.yaml");
    store.save(model, snapshot);
  }
  const std::string file = "step-000000000100.h5";
  const ProcessResult all = run({"inspect", run_folder("run")});
  expect_success(all);
  EXPECT_THAT(all.out,
              AllOf(HasSubstr("checkpoints 2 in " + folder + "\n    step-000000000050.h5  step 50: "),
                    HasSubstr("\n    " + file +
                              "  step 100: epoch 3, step 20 of it, loss 0.01942, "
                              "validation accuracy 0.3333\n")));

  const ProcessResult one = run({"inspect", folder + "/" + file, "--verify"});
  expect_success(one);
  EXPECT_THAT(one.out,
              AllOf(HasSubstr("step 100: epoch 3, step 20 of it"), HasSubstr("mnist_softmax: 2 epochs"),
                    HasSubstr("\n    optimizer/moment1/conv1.weight     3×2×5×5\n"),
                    HasSubstr("weights 0000000000000064, optimizer ffffffffffffff9b"),
                    HasSubstr("All checksums fit.")));

  checkpoint::overwrite(folder + "/" + file, checkpoint::contents(folder + "/" + file) + "x");
  EXPECT_THAT(run({"inspect", run_folder("run")}).out, HasSubstr(file + "  not readable: "));
  expect_failure(run({"inspect", folder + "/" + file}), ExitCode::bad_data, {file, "damaged"});
}

}  // namespace
}  // namespace lockstep::testing
