// A training that was stopped, killed or lost its disk goes on from its newest checkpoint, and ends with the
// bytes of one that was never stopped.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <thread>

#include "system/resume_runs.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ResumeTest : public ResumableRuns {};

TEST_F(ResumeTest, AnyRanksGoOnInTheMiddleOfAnEpoch) {
  const std::string odd = write("odd.yaml", odd_network());
  const Outcome whole = train_whole({"train", odd});
  Words first = {"train", odd, "--until", "37"};
  expect_success(run(with(first, into("cut")), {.ranks = 2}));
  EXPECT_EQ(summary("cut")["status"], "stopped as asked");
  EXPECT_EQ(checkpoint_steps("cut").back(), 37);
  int until = 37;
  for (const int ranks : {3, 1, 5, 8}) {  // through the end of an epoch
    until += 41;
    const ProcessResult result =
        run({"resume", run_folder("cut"), "--until", fmt::format("{}", until)}, {.ranks = ranks});
    expect_success(result);
    EXPECT_THAT(result.out, HasSubstr(fmt::format("goes on    after step {} (", until - 41)));
    EXPECT_EQ(checkpoint_steps("cut").back(), until);
  }
  expect_success(run({"resume", run_folder("cut")}, {.ranks = 4}));
  expect_equal(outcome("cut"), whole);
  // The newest two, and the best.
  EXPECT_LE(checkpoint_steps("cut").size(), 3U);
  EXPECT_EQ(csv_rows(run_folder("cut") + "/metrics.csv").size(), 3U) << "a header and two epochs";
  EXPECT_EQ(json_lines(run_folder("cut") + "/metrics.jsonl").size(), 2U);
  EXPECT_EQ(summary("cut")["best"]["val_accuracy"], summary("whole")["best"]["val_accuracy"]);
}

TEST_F(ResumeTest, DistortedImagesAndTheAverageOfWeightsAreTheSameToo) {
  // Both of 104 steps: the first stop is before the average begins, the second in the midst of it.
  const Words experiment = {"train", write("odd.yaml", odd_network()),
                            "data.augment={shift: 2, rotate: 10, shear: 0.1, zoom: 0.1}",
                            "training.average={from_epoch: 2, every_steps: 10}"};
  const Outcome whole = train_whole(experiment);
  expect_success(run(with(experiment, into("cut", {"--until", "60"})), {.ranks = 3}));
  expect_success(run({"resume", run_folder("cut"), "--until", "135"}, {.ranks = 2}));
  expect_failure(run({"resume", run_folder("cut"), "data.augment.zoom=0.2"}), ExitCode::bad_config,
                 {"data.augment.zoom: 0.1 there, 0.2 now"});
  expect_failure(run({"resume", run_folder("cut"), "training.average.every_steps=5"}), ExitCode::bad_config,
                 {"training.average.every_steps: 10 there, 5 now"});
  expect_success(run({"resume", run_folder("cut")}, {.ranks = 4}));
  expect_equal(outcome("cut"), whole);
  const ProcessResult evaluated = run({"evaluate", run_folder("cut")}, {.ranks = 2});
  expect_success(evaluated);
  EXPECT_THAT(evaluated.out, HasSubstr("the same as the run recorded, to the bit"));
}

TEST_F(ResumeTest, WithDigestsCheckpointsAndChecksThatAreNotTheDefaults) {
  // An epoch has 104 steps; a checkpoint is due every 6 ms.
  const Words experiment = {"train",
                            write("odd.yaml", odd_network()),
                            "digests.every=7",
                            "checks.memory=repair",
                            "checkpoint.every_minutes=0.0001",
                            "checkpoint.keep=1000"};
  const Outcome whole = train_whole(experiment);
  expect_success(run(with(experiment, into("cut", {"--until", "37"})), {.ranks = 3}));
  // What was restored is what a repair goes by.
  const ProcessResult repaired = run({"resume", run_folder("cut"), "--until", "104", "--allow-faults",
                                      "faults=[flip: {rank: 1, step: 60, target: copied_weight, bit: 30}]"},
                                     {.ranks = 2});
  EXPECT_EQ(repaired.status, 0) << repaired.err;
  EXPECT_THAT(repaired.err, HasSubstr("before step 60: bits of the weights"));
  EXPECT_EQ(summary("cut")["epochs_done"], 1);
  expect_success(run({"resume", run_folder("cut"), "--until", "150", "faults=[]"}, {.ranks = 5}));
  expect_success(run({"resume", run_folder("cut")}));
  expect_equal(outcome("cut"), whole);
  const std::vector<std::int64_t> taken = checkpoint_steps("cut");
  for (const std::int64_t asked_for : {37, 104, 150, 208})
    EXPECT_TRUE(std::ranges::binary_search(taken, asked_for)) << asked_for;
  EXPECT_GT(taken.size(), 4U) << "none by the minute";
}

TEST_F(ResumeTest, InRunModeTheSameLayoutGoesOnWithTheSameBytes) {
  const Words experiment =
      train_shipped("mnist_cnn", small_file(), {"training.epochs=1", "training.reproducibility=run"});
  const Outcome whole = train_whole(experiment, 2);
  expect_success(run(with(experiment, into("cut", {"--until", "30"})), {.ranks = 2}));
  expect_success(run({"resume", run_folder("cut")}, {.ranks = 2}));
  expect_equal(outcome("cut"), whole);
}

TEST_F(ResumeTest, TheSameCommandStartsAndGoesOn) {
  // As a script does that is queued again and again: no name for the run.
  const Words script = train_shipped("mnist_softmax", small_file(),
                                     {"output.dir=" + file("runs"), "training.epochs=3", "--resume"});
  const auto run_names = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(file("runs"))) names.insert(entry.path().filename());
    return names;
  };
  expect_success(run(with(script, {"--until", "100"}), {.ranks = 2}));
  ASSERT_EQ(run_names().size(), 1U);
  const std::string name = *run_names().begin();
  expect_success(run(script, {.ranks = 3}));
  EXPECT_EQ(run_names(), std::set<std::string>{name});
  EXPECT_EQ(summary(name)["status"], "finished");
  EXPECT_EQ(summary(name)["epochs_done"], 3);
  expect_success(run(script));
  EXPECT_EQ(run_names().size(), 2U) << "what is finished is not trained again";
}

TEST_F(ResumeTest, AFinishedRunTakesMoreEpochs) {
  const Words experiment = train_shipped("mnist_softmax", small_file());
  const Outcome whole = train_whole(with(experiment, {"training.epochs=4"}));
  expect_success(run(with(experiment, into("short", {"training.epochs=2"}))));
  expect_success(run({"resume", run_folder("short"), "training.epochs=4"}, {.ranks = 2}));
  expect_equal(outcome("short"), whole);
}

TEST_F(ResumeTest, WhatWouldChangeTheResultIsRefused) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=3"}));
  expect_success(run(with(experiment, {"--until", "100"})));
  const Outcome before = outcome("run");
  for (const int ranks : {1, 2})
    expect_failure(
        run(with(experiment, {"--resume", "optimizer.sgd.learning_rate=0.25", "seed=7", "device.threads=2"}),
            {.ranks = ranks}),
        ExitCode::bad_config,
        {run_folder("run"), "optimizer.sgd.learning_rate: 0.5 there, 0.25 now", "seed: 1 there, 7 now"});
  expect_failure(run({"resume", run_folder("run"), "training.epochs=1", "training.batch=64"}),
                 ExitCode::bad_config, {"training.batch: 128 there, 64 now"});
  expect_failure(run({"resume", run_folder("run"), "schedule={cosine: {}}", "training.epochs=9"}),
                 ExitCode::bad_config, {"training.epochs: 3 there, 9 now", "schedule.cosine"});
  expect_equal(outcome("run"), before);
  expect_success(run({"resume", run_folder("run"), "device.threads=2", "checkpoint.keep=5"}));
}

TEST_F(ResumeTest, OtherDataAreRefused) {
  const std::string data = file("data.h5");
  fs::copy_file(small_file(), data);
  expect_success(
      run(train_shipped("mnist_softmax", data, into("run", {"training.epochs=1", "--until", "20"}))));
  fs::remove(data);
  fs::copy_file(mnist_file(), data);
  expect_failure(run({"resume", run_folder("run")}), ExitCode::bad_data,
                 {data, "other data", "60000 samples"});
}

TEST_F(ResumeTest, DamagedCheckpointsGiveWayToTheOneBefore) {
  const Words experiment =
      train_shipped("mnist_softmax", small_file(), {"training.epochs=2", "checkpoint.keep=100"});
  const Outcome whole = train_whole(experiment);
  for (const char* until : {"40", "60", "90"})
    expect_success(run(with(experiment, into("run", {"--resume", "--until", until}))));
  ASSERT_EQ(checkpoint_steps("run"), (std::vector<std::int64_t>{40, 60, 79, 90}));
  damage(checkpoint_file("run", 90), 3000);
  fs::resize_file(checkpoint_file("run", 79), 2000);
  const ProcessResult result = run({"resume", run_folder("run")}, {.ranks = 2});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("step-000000000090.h5: the file is damaged"));
  EXPECT_THAT(result.err, HasSubstr("step-000000000079.h5: the file is cut off"));
  EXPECT_THAT(result.err, HasSubstr("taking the checkpoint before it"));
  EXPECT_THAT(result.out, HasSubstr("goes on    after step 60 "));
  expect_equal(outcome("run"), whole);
}

TEST_F(ResumeTest, WithoutAnyReadableCheckpointNothingIsTouched) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=2"}));
  expect_success(run(with(experiment, {"--until", "40"})));
  damage(checkpoint_file("run", 40), 100);
  const Outcome before = outcome("run");
  const ProcessResult result = run(with(experiment, {"--resume"}), {.ranks = 2});
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::bad_data));
  EXPECT_THAT(result.err,
              HasSubstr("none of the checkpoints in '" + run_folder("run") + "/checkpoints' can be read"));
  expect_equal(outcome("run"), before);
}

TEST_F(ResumeTest, RunWithoutCheckpointsStartsAnewInItsFolder) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), {"training.epochs=2"});
  const Outcome whole = train_whole(experiment);
  expect_success(run(with(experiment, into("run", {"--until", "100"}))));
  fs::remove_all(run_folder("run") + "/checkpoints");
  expect_success(run(with(experiment, into("run", {"--resume"}))));
  expect_equal(outcome("run"), whole);
}

TEST_F(ResumeTest, ACheckpointBeginsAnotherRun) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), {"training.epochs=2"});
  const Outcome whole = train_whole(experiment);
  expect_success(
      run(with(experiment, into("branch", {"--from", checkpoint_file("whole", 79)})), {.ranks = 2}));
  EXPECT_EQ(outcome("branch").weights, whole.weights);
  EXPECT_TRUE(
      whole.digests.ends_with(outcome("branch").digests.substr(outcome("branch").digests.find('\n') + 1)));
  expect_failure(run(with(experiment, into("other", {"--from", file("none.h5")}))), ExitCode::no_input,
                 {file("none.h5"), "no such file"});
  EXPECT_FALSE(fs::exists(run_folder("other")));
}

TEST_F(ResumeTest, SignalSavesAndLeaves) {
  const Words experiment = train_shipped(
      "mnist_cnn", small_file(), {"training.epochs=2", "checkpoint.every_steps=20", "checkpoint.keep=99"});
  const Outcome whole = train_whole(experiment, 2);
  const ProcessResult result =
      run(with(experiment, into("run")),
          {.ranks = 2, .started = [&](pid_t mpirun) {
             EXPECT_TRUE(wait_until([&] { return !checkpoint_steps("run").empty(); }));
             for (int i = 0; i < 3; ++i) {  // what comes while it saves changes nothing
               kill(mpirun, SIGUSR1);
               std::this_thread::sleep_for(std::chrono::milliseconds(5));
             }
           }});
  EXPECT_EQ(result.status, 75) << result.err;
  const std::int64_t stopped_at = summary("run")["steps_done"];
  EXPECT_EQ(checkpoint_steps("run").back(), stopped_at);
  EXPECT_GE(stopped_at, 20);
  expect_success(run({"resume", run_folder("run")}, {.ranks = 3}));
  expect_equal(outcome("run"), whole);
}

TEST_F(ResumeTest, SignalDuringTheValidationSavesAndLeavesToo) {
  // An epoch of two steps, and a validation that takes longer: some seconds, by the slower way to compute.
  Words experiment =
      train_shipped("mnist_cnn", small_file(),
                    {"training.epochs=1", "training.batch=5000", "device.convolutions=onednn",
                     "data.validation.file=" + mnist_file(), "data.validation.images=/train/images",
                     "data.validation.labels=/train/labels"});
  const Outcome whole = train_whole(experiment);
  const ProcessResult result =
      run(with(experiment, into("run")), {.started = [&](pid_t process) {
            EXPECT_TRUE(wait_until([&] { return fs::exists(run_folder("run") + "/metrics.jsonl"); }));
            std::this_thread::sleep_for(std::chrono::milliseconds(1500));
            kill(process, SIGTERM);
          }});
  EXPECT_EQ(result.status, 75) << result.err;
  expect_success(run({"resume", run_folder("run")}, {.ranks = 2}));
  expect_equal(outcome("run"), whole);
}

TEST_F(ResumeTest, TheLastCheckpointThatFailsIsNotForgotten) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), {"training.epochs=1"});
  const Words stops = {"checkpoint.on_failure=stop", "--allow-faults", "--until", "3",
                       "faults=[io_error: {rank: 0, step: 1}]"};
  expect_failure(run(with(experiment, into("run", stops))), ExitCode::io_error, {run_folder("run")});
  EXPECT_EQ(summary("run")["status"], "failed");
}

TEST_F(ResumeTest, ARunThatWasKilledBeforeItBeganBeginsInItsFolder) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), {"training.epochs=1"});
  const Outcome whole = train_whole(experiment);
  fs::create_directories(run_folder("run"));
  write_file(run_folder("run") + "/lock", "process 1 on elsewhere\n");
  write_file(run_folder("run") + "/experiment.yaml.partial-1", "name: mn");
  expect_success(run(with(experiment, into("run", {"--resume"})), {.ranks = 2}));
  expect_equal(outcome("run"), whole);
  fs::create_directories(run_folder("other"));
  write_file(run_folder("other") + "/notes.txt", "not a run");
  const ProcessResult result = run(with(experiment, into("other", {"--resume"})));
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::no_input)) << result.err;
  EXPECT_EQ(contents(run_folder("other") + "/notes.txt"), "not a run");
}

TEST_F(ResumeTest, OtherSettingsAreAnotherExperiment) {
  const Words script = train_shipped("mnist_softmax", small_file(),
                                     {"output.dir=" + file("runs"), "training.epochs=2", "--resume"});
  for (const char* until : {"30", "60"})  // a sweep: each goes on with its own
    for (const char* rate : {"0.5", "0.25"}) {
      const ProcessResult result =
          run(with(script, {std::string("optimizer.sgd.learning_rate=") + rate, "--until", until}));
      EXPECT_EQ(result.status, 0) << result.err;
    }
  int runs = 0;
  for (const auto& entry : fs::directory_iterator(file("runs"))) {
    EXPECT_EQ(summary(entry.path().filename())["steps_done"], 60);
    ++runs;
  }
  EXPECT_EQ(runs, 2);
}

TEST_F(ResumeTest, UntilAStepThatIsPastIsRefused) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1"}));
  expect_success(run(with(experiment, {"--until", "20"})));
  expect_failure(run({"resume", run_folder("run"), "--until", "6"}), ExitCode::usage,
                 {"--until 6", "20 steps"});
  for (const char* until : {"0", "-3", "99999999999999999999", "x"})
    EXPECT_EQ(run({"resume", run_folder("run"), "--until", until}).status, static_cast<int>(ExitCode::usage));
  // A script that asks for a step which is reached has what it wants.
  const ProcessResult reached = run(with(experiment, {"--resume", "--until", "20"}), {.ranks = 2});
  expect_success(reached);
  EXPECT_THAT(reached.out, HasSubstr("is at step 20 already: nothing to do"));
}

TEST_F(ResumeTest, AFinishedRunIsLeftAsItIs) {
  const Words experiment = train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1"}));
  expect_success(run(experiment));
  const std::string summary_before = contents(run_folder("run") + "/summary.json");
  const ProcessResult result = run(with(experiment, {"--resume"}), {.ranks = 2});
  expect_success(result);
  EXPECT_THAT(result.out, HasSubstr("is finished after 1 epoch: nothing to do"));
  EXPECT_EQ(contents(run_folder("run") + "/summary.json"), summary_before);
  expect_failure(run({"resume", run_folder("run"), "output.name=elsewhere"}), ExitCode::bad_config,
                 {"output.name=elsewhere", "stays in its folder"});
}

TEST_F(ResumeTest, DiskThatIsFullForCheckpointsOnly) {
  // AdamW makes a checkpoint three times as large as the weights: 21 MB and 7. MPI's own files have four.
  const Words wrapper{"bash", "-c", "ulimit -f 16384; exec \"$@\"", "bash"};
  std::string text = contents(source("configs/mnist_softmax.yaml"));
  const std::string layer = "  - dense:";
  text.insert(text.find(layer), "  - dense: {name: wide, units: 2200}\n  - relu\n");
  Words experiment = train_shipped("mnist_softmax", small_file(), {"training.epochs=1"});
  experiment[1] = write("wide.yaml", text);
  experiment = with(experiment, {"training.batch=2000", "optimizer={adamw: {}}", "checkpoint.every_steps=2"});
  const ProcessResult goes_on = run(with(experiment, into("on")), {.wrapper = wrapper});
  EXPECT_EQ(goes_on.status, 0) << goes_on.err;
  EXPECT_THAT(goes_on.err, HasSubstr("no checkpoint could be written: cannot write '" + run_folder("on")));
  EXPECT_THAT(goes_on.err, HasSubstr("The training goes on"));
  EXPECT_EQ(summary("on")["status"], "finished");
  EXPECT_TRUE(checkpoint_steps("on").empty());
  expect_failure(run(with(experiment, into("stop", {"checkpoint.on_failure=stop"})), {.wrapper = wrapper}),
                 ExitCode::io_error, {run_folder("stop") + "/checkpoints/step-", "File too large"});
  EXPECT_EQ(summary("stop")["status"], "failed");
  EXPECT_GT(summary("stop")["seconds"], 0);
  EXPECT_GT(summary("stop")["peak_memory_bytes"], 1'000'000);
  // Whoever stops a training means to go on: then the checkpoint is needed.
  expect_failure(run(with(experiment, into("until", {"--until", "1"})), {.wrapper = wrapper}),
                 ExitCode::io_error, {run_folder("until") + "/checkpoints/step-", "File too large"});
}

TEST_F(ResumeTest, NoneAreWrittenWhenNoneAreKept) {
  expect_success(run(
      train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1", "checkpoint.keep=0"}))));
  EXPECT_FALSE(fs::exists(run_folder("run") + "/checkpoints"));
  const ProcessResult finished = run({"resume", run_folder("run")});
  expect_success(finished);
  EXPECT_THAT(finished.out, HasSubstr("is finished after 1 epoch: nothing to do"));
  expect_failure(run({"resume", run_folder("run"), "training.epochs=2"}), ExitCode::bad_config,
                 {run_folder("run"), "no checkpoint"});
}

/// As after a disk that was full, the newest checkpoints are missing: what is finished stays so.
TEST_F(ResumeTest, FinishedRunIsNotTrainedAgainFromAnOlderCheckpoint) {
  expect_success(run(train_shipped("mnist_softmax", small_file(),
                                   into("run", {"training.epochs=2", "checkpoint.every_steps=30"}))));
  std::vector<fs::path> checkpoints;
  for (const auto& entry : fs::directory_iterator(run_folder("run") + "/checkpoints"))
    checkpoints.push_back(entry.path());
  std::ranges::sort(checkpoints);
  ASSERT_GE(checkpoints.size(), 2U);
  fs::remove(checkpoints.back());
  const std::string weights = contents(run_folder("run") + "/final_weights.h5");
  const ProcessResult finished = run({"resume", run_folder("run")});
  expect_success(finished);
  EXPECT_THAT(finished.out, HasSubstr("is finished after 2 epochs: nothing to do"));
  EXPECT_TRUE(contents(run_folder("run") + "/final_weights.h5") == weights);
  EXPECT_EQ(json_of(run_folder("run") + "/summary.json")["status"], "finished");
  expect_failure(run({"resume", run_folder("run"), "training.epochs=1"}, {.ranks = 2}), ExitCode::bad_config,
                 {"is past training.epochs=1: it has done 2 epochs"});
  EXPECT_TRUE(contents(run_folder("run") + "/final_weights.h5") == weights);
}

/// The whole job is killed at random moments, in the middle of a checkpoint's writing too, and goes on with
/// another number of ranks. LOCKSTEP_KILLS says how often, LOCKSTEP_KILLS_SEED when.
TEST_F(ResumeTest, KilledAtRandomMomentsItEndsTheSame) {
  allow_partial_files();
  const char* const kills_wanted = std::getenv("LOCKSTEP_KILLS");
  const int kills = kills_wanted != nullptr ? std::atoi(kills_wanted) : 25;
  const char* const seed_wanted = std::getenv("LOCKSTEP_KILLS_SEED");
  const unsigned seed =
      seed_wanted != nullptr ? static_cast<unsigned>(std::atoi(seed_wanted)) : std::random_device()();
  SCOPED_TRACE(fmt::format("LOCKSTEP_KILLS_SEED={}", seed));
  std::mt19937 random(seed);
  const auto pick = [&](int least, int most) { return std::uniform_int_distribution(least, most)(random); };

  const std::string small = write("small.yaml", small_network());
  const Words experiment = {"train", small, fmt::format("training.epochs={}", 2 * kills)};
  const Outcome whole = train_whole(experiment);
  std::string name = "cut";
  int done = 0;
  std::int64_t reached = 0;
  for (int i = 0; i < 10 * kills && done < kills; ++i) {
    const auto newest = [&] {
      const auto steps = checkpoint_steps(name);
      return steps.empty() ? std::int64_t{0} : steps.back();
    };
    const std::int64_t before = newest();
    // Mostly soon after a new checkpoint, so that there is progress; sometimes while it starts.
    const bool while_starting = pick(1, 6) == 1;
    const auto pause = std::chrono::microseconds(while_starting ? pick(0, 400'000) : pick(0, 60'000));
    const ProcessResult result =
        run(with(experiment, into(name, {"--resume"})),
            {.ranks = pick(1, 4), .environment = {{"TMPDIR", folder()}}, .started = [&](pid_t process) {
               EXPECT_TRUE(while_starting ||
                           wait_until([&] { return newest() > before || !is_running(process); }));
               std::this_thread::sleep_for(pause);
               // Sometimes the ranks outlive their mpirun.
               if (pick(1, 8) == 1)
                 kill(process, SIGKILL);
               else
                 kill_job();
             }});
    if (result.status == 0) {  // over before the kill: from the start
      expect_equal(outcome(name), whole);
      name += "-again";
      reached = 0;
      continue;
    }
    EXPECT_THAT((std::set<int>{128 + SIGKILL, 1, 137}), ::testing::Contains(result.status)) << result.err;
    EXPECT_TRUE(messages(result).empty()) << result.err;
    EXPECT_GE(newest(), reached);
    reached = newest();
    ++done;
  }
  EXPECT_EQ(done, kills) << "the trainings were over before";
  kill_job();
  expect_success(run(with(experiment, into(name, {"--resume"})), {.ranks = 3}));
  expect_equal(outcome(name), whole);
  EXPECT_EQ(summary(name)["best"]["epoch"], summary("whole")["best"]["epoch"]);
  EXPECT_EQ(summary(name)["best"]["val_accuracy"], summary("whole")["best"]["val_accuracy"]);
  EXPECT_LE(checkpoint_steps(name).size(), 3U) << "the newest two, and the best";
}

}  // namespace
}  // namespace lockstep::testing
