// Ranks on different processors: all compute with what the least of them has, and the run says so. Here
// ranks claim to be on a lesser processor by ONEDNN_MAX_CPU_ISA, which oneDNN itself obeys.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/hdf5_samples.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Two instruction sets that this processor has.
struct Pair {
  std::string lesser, greater;
};
Pair sets_of_this_processor() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return {"avx2", "avx512_core"};
  if (__builtin_cpu_supports("avx2")) return {"sse41", "avx2"};
  return {};
}

class InstructionSetTest : public SystemTest {
 protected:
  void SetUp() override {
    if (sets_.lesser.empty()) GTEST_SKIP() << "not run: this processor has one instruction set only";
    // Few samples: what is lesser than AVX2 takes ten times as long for each.
    std::vector<SampleArray> arrays;
    for (const auto& [part, samples] : {std::pair{"train", 1280}, std::pair{"test", 256}}) {
      const auto pixel = [](std::int64_t i) { return static_cast<double>(i * 7919 % 251); };
      const auto label = [](std::int64_t row) { return static_cast<double>(row % 10); };
      arrays.push_back({.name = fmt::format("/{}/images", part),
                        .type = H5T_STD_U8LE,
                        .shape = {samples, 1, 28, 28},
                        .value = pixel});
      arrays.push_back({.name = fmt::format("/{}/labels", part),
                        .type = H5T_STD_U8LE,
                        .shape = {samples},
                        .value = label});
    }
    write_hdf5(few_samples_, arrays);
  }

  /// A wrapper for rank 1 that claims a lesser processor for it.
  [[nodiscard]] Words with_lesser_rank_1() const {
    return {"sh", "-c",
            fmt::format("[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && export ONEDNN_MAX_CPU_ISA={}; exec \"$@\"",
                        sets_.lesser),
            "sh"};
  }
  [[nodiscard]] Words train(const std::string& name, const Words& overrides = {}) const {
    // Own kernels give the same bits with both, and would leave nothing to tell apart.
    Words all = into(
        name, {"training.epochs=1", "training.batch=32", "device.threads=1", "device.convolutions=onednn"});
    all.insert(all.end(), overrides.begin(), overrides.end());
    return train_shipped("mnist_cnn", few_samples_, all);
  }
  /// Trains with each rank a program of its own to mpirun: "-n 1 …" for the lesser one, ":" and the other.
  /// False if this mpirun cannot do that with anything: Open MPI 5.0.7's crashes.
  [[nodiscard]] bool trains_in_contexts(const std::string& name) const {
    const auto in_contexts = [](Words first, const Words& second) {
      first.insert(first.end(), {":", "-n", "1"});
      first.insert(first.end(), second.begin(), second.end());
      return run_process(first, {.environment = environment()});
    };
    if (in_contexts(mpirun(1, {"true"}), {"true"}).status != 0) {
      std::cout << "not run: ranks as programs of their own, which this mpirun cannot start\n";
      return false;
    }
    Words first{"env", "ONEDNN_MAX_CPU_ISA=" + sets_.lesser, program()}, second{program()};
    for (Words* words : {&first, &second})
      for (const std::string& word : train(name)) words->push_back(word);
    expect_success(in_contexts(mpirun(1, first), second));
    return true;
  }
  static std::string named(const std::string& set) { return "device.instruction_set=" + set; }

  /// All that depends on the instruction set.
  [[nodiscard]] std::string results(const std::string& name) const {
    const std::string folder = run_folder(name);
    return contents(folder + "/final_weights.h5") + contents(folder + "/digests.csv") +
           computed_columns(folder + "/metrics.csv");
  }
  [[nodiscard]] std::string recorded(const std::string& name, const std::string& key) const {
    return json_of(run_folder(name) + "/environment.json")[key];
  }

  Pair sets_ = sets_of_this_processor();
  std::string few_samples_ = file("few_samples.h5");
};

TEST_F(InstructionSetTest, RanksComputeWithWhatTheLeastOfThemHas) {
  const ProcessResult mixed = run(train("mixed"), {.ranks = 2, .wrapper = with_lesser_rank_1()});
  expect_success(mixed);
  EXPECT_THAT(mixed.out, HasSubstr(fmt::format("device     cpu ({}), oneDNN", sets_.lesser)));
  const bool has_contexts = trains_in_contexts("per_rank");

  expect_success(run(train("least"), {.environment = {{"ONEDNN_MAX_CPU_ISA", sets_.lesser}}}));
  expect_success(run(train("least_by_name", {named(sets_.lesser)}), {.ranks = 3}));
  expect_success(run(train("greater", {named(sets_.greater)})));
  expect_success(run(train("greater_by_environment"),
                     {.ranks = 2, .environment = {{"ONEDNN_MAX_CPU_ISA", sets_.greater}}}));

  EXPECT_NE(results("least"), results("greater")) << "nothing would be noticed";
  Words names = {"mixed", "least_by_name"};
  if (has_contexts) names.emplace_back("per_rank");
  for (const std::string& name : names) EXPECT_TRUE(results(name) == results("least")) << name;
  EXPECT_TRUE(results("greater_by_environment") == results("greater"));

  names.emplace_back("least");
  for (const std::string& name : names) {
    EXPECT_EQ(recorded(name, "instruction_set"), sets_.lesser) << name;
    EXPECT_EQ(recorded(name, "arithmetic"), recorded("least", "arithmetic")) << name;
  }
  EXPECT_EQ(recorded("greater", "instruction_set"), sets_.greater);
  EXPECT_NE(recorded("greater", "arithmetic"), recorded("least", "arithmetic"));
}

TEST_F(InstructionSetTest, OwnKernelsGiveTheSameBitsWithAvx2AndAvx512) {
  if (sets_.lesser != "avx2") GTEST_SKIP() << "not run: this processor has no two sets with own kernels";
  for (const std::string experiment : {"mnist_cnn", "mnist_softmax", "mnist_fast", "mnist_best"}) {
    SCOPED_TRACE(experiment);
    const auto train = [&](const std::string& suffix, const Words& overrides) {
      Words all = into(experiment + suffix, overrides);
      all.insert(all.end(), {"--until", "12"});
      return train_shipped(experiment, small_file(), all);
    };
    const auto digests = [&](const std::string& suffix) {
      return contents(run_folder(experiment + suffix) + "/digests.csv");
    };
    for (const std::string& set : {sets_.lesser, sets_.greater})
      expect_success(run(train(set, {named(set)})));
    expect_success(run(train("mixed", {}), {.ranks = 2, .wrapper = with_lesser_rank_1()}));
    EXPECT_THAT(digests(sets_.greater), HasSubstr("\n12,"));
    for (const std::string& suffix : {sets_.lesser, std::string("mixed")}) {
      EXPECT_EQ(digests(suffix), digests(sets_.greater)) << suffix;
      EXPECT_EQ(recorded(experiment + suffix, "instruction_set"), sets_.lesser);
      EXPECT_EQ(recorded(experiment + suffix, "arithmetic"),
                recorded(experiment + sets_.greater, "arithmetic"));
    }
  }
}

TEST_F(InstructionSetTest, ARankThatLacksWhatIsNamedIsNamed) {
  expect_failure(run(train("run", {named(sets_.greater)}), {.ranks = 2, .wrapper = with_lesser_rank_1()}),
                 ExitCode::no_device,
                 {"rank 1 on ", "device.instruction_set is " + sets_.greater, "allows " + sets_.lesser});
  EXPECT_FALSE(std::filesystem::exists(run_folder("run")));
}

TEST_F(InstructionSetTest, AProcessorThatLacksWhatIsNamedIsNoDevice) {
  if (__builtin_cpu_supports("avxvnni")) GTEST_SKIP() << "not run: this processor has avx2_vnni";
  expect_failure(run(train("run", {named("avx2_vnni")}), {.ranks = 2}), ExitCode::no_device,
                 {"avx2_vnni", "device.instruction_set"});
  expect_failure(run({"plan", source("configs/mnist_softmax.yaml"), named("avx2_vnni"),
                      "data.train.file=" + small_file(), "data.validation.file=" + small_file()}),
                 ExitCode::no_device, {"avx2_vnni", "device.instruction_set"});
}

TEST_F(InstructionSetTest, ALimitThatNamesNothingIsRefused) {
  expect_failure(run(train("run"), {.ranks = 2, .environment = {{"ONEDNN_MAX_CPU_ISA", "avx3"}}}),
                 ExitCode::bad_config, {"ONEDNN_MAX_CPU_ISA", "avx3"});
}

TEST_F(InstructionSetTest, EvaluateComputesWithWhatTheRunRecorded) {
  expect_success(run(train("run", {named(sets_.lesser)})));
  const ProcessResult same = run({"evaluate", run_folder("run")}, {.ranks = 2});
  expect_success(same);
  EXPECT_THAT(same.out, HasSubstr("the same as the run recorded, to the bit"));

  expect_success(run(train("greater", {named(sets_.greater)})));
  const ProcessResult lesser =
      run({"evaluate", run_folder("greater")}, {.ranks = 2, .wrapper = with_lesser_rank_1()});
  expect_success(lesser);
  EXPECT_THAT(lesser.out, HasSubstr("computed with " + sets_.lesser));
}

TEST_F(InstructionSetTest, ARunThatWentOnWithAnotherOneIsToldApart) {
  const Words often = {"checkpoint.every_steps=20", "checkpoint.keep=10"};
  const Job on_greater{.environment = {{"ONEDNN_MAX_CPU_ISA", sets_.greater}}};
  const Job on_lesser{.environment = {{"ONEDNN_MAX_CPU_ISA", sets_.lesser}}};
  expect_success(run(train("stayed", often), on_greater));
  Words first = often;
  first.insert(first.end(), {"--until", "20"});
  expect_success(run(train("moved", first), on_greater));
  const ProcessResult goes_on = run({"resume", run_folder("moved")}, on_lesser);
  EXPECT_EQ(goes_on.status, 0);
  EXPECT_THAT(goes_on.err, HasSubstr("until step 20 this was computed with cpu"));

  const ProcessResult found = run({"compare", run_folder("stayed"), run_folder("moved")});
  EXPECT_EQ(found.status, static_cast<int>(ExitCode::different)) << found.err;
  EXPECT_THAT(found.out, StartsWith("different from step 21 on (epoch 1): weights\n"));
  EXPECT_THAT(found.out, ContainsRegex(fmt::format("\n  instruction_set +{0} +{0}, from step 21 on {1}\n",
                                                   sets_.greater, sets_.lesser)));
  EXPECT_THAT(found.out, HasSubstr(recorded("stayed", "arithmetic") + ", from step 21 on "));
  EXPECT_THAT(found.out, Not(HasSubstr("nothing in the set-up explains it")));
  for (const auto& [name, set] :
       std::map<std::string, std::string>{{"stayed", sets_.greater}, {"moved", sets_.lesser}})
    EXPECT_THAT(found.out, HasSubstr(fmt::format("{0}/checkpoints/step-000000000020.h5 --until 21 "
                                                 "output.name={1}-replay digests.every=1 {2}\n",
                                                 run_folder(name), name, named(set))));

  // The weights are those of its last session.
  const ProcessResult again = run({"evaluate", run_folder("moved")});
  expect_success(again);
  EXPECT_THAT(again.out, HasSubstr("the same as the run recorded, to the bit"));
}

TEST_F(InstructionSetTest, ARunKeepsTheOneThatItsExperimentNames) {
  expect_success(run(train("run", {named(sets_.lesser), "--until", "3"})));
  expect_failure(run({"resume", run_folder("run"), named(sets_.greater)}), ExitCode::bad_config,
                 {fmt::format("device.instruction_set: {} there, {} now", sets_.lesser, sets_.greater)});
}

}  // namespace
}  // namespace lockstep::testing
