// What `lockstep compare` says of two run folders, made here file by file.
#include "train/compare_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "checkpoint/samples.h"
#include "checkpoint/store.h"
#include "checkpoint/weights_file.h"
#include "io/error_of.h"
#include "support/temporary_folder.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using checkpoint::Snapshot;
using lockstep::testing::error_of;
using lockstep::testing::expect_error;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Runs of 40 steps in an epoch, of the model of checkpoint/samples.h.
class CompareReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a", "b"}) {
      write(
          name, "experiment.yaml",
          fmt::format("name: probe\nseed: 1\nmodel:\n  - conv2d: {{name: conv1}}\n  - dense: {{name: fc1}}\n"
                      "output: {{dir: {}, name: {}}}\n",
                      folder_.path().string(), name));
      write(name, "environment.json",
            R"json({"ranks": 2, "device": "cpu (avx2)", "working_directory": "/nowhere"})json");
      write(name, "summary.json", R"json({"status": "finished"})json");
      write_digests(name, 80);
    }
  }

  [[nodiscard]] std::string path(const std::string& run) const { return folder_.file(run); }
  void write(const std::string& run, const std::string& name, const std::string& text) const {
    fs::create_directories(path(run));
    std::ofstream(path(run) + "/" + name) << text;
  }
  /// Every hash is its step, and one more from step `differs` on.
  void write_digests(const std::string& run, std::int64_t last, std::int64_t differs = 1000,
                     std::int64_t every = 1) const {
    std::string text = "step,epoch,weights,optimizer,samples,metrics\n";
    for (std::int64_t step = 0; step <= last; ++step) {
      const bool at_end = step > 0 && step % 40 == 0;
      if (!at_end && step % every != 0) continue;
      const std::string hash = fmt::format("{:016x}", step + (step >= differs ? 1 : 0));
      text += fmt::format("{},{},{},{}\n", step, step == 0 ? 1 : (step + 39) / 40, hash,
                          at_end ? fmt::format("{0},{0},{0}", hash) : ",,");
    }
    write(run, "digests.csv", text);
  }
  void save(const std::string& run, std::int64_t step,
            const std::function<void(Snapshot&)>& change = {}) const {
    const checkpoint::Store store(path(run) + "/checkpoints");
    store.prepare();
    Snapshot snapshot = checkpoint::snapshot_of(model_, step);
    if (change) change(snapshot);
    store.save(model_, snapshot);
  }
  void save_weights(const std::string& run, std::int64_t step, float change) const {
    std::vector<float> slab = checkpoint::slab_of(model_);
    slab[0] += change;
    checkpoint::write_weights(path(run) + "/final_weights.h5", model_, slab,
                              {.experiment = "probe", .epoch = 2, .step = step});
  }
  train::CompareReport compare() const { return compare_runs(path("a"), path("b"), "lockstep"); }

  lockstep::testing::TemporaryFolder folder_;
  const Parameters model_ = checkpoint::small_model();
};

TEST_F(CompareReportTest, IdenticalRuns) {
  const auto same = compare();
  EXPECT_TRUE(same.identical);
  EXPECT_THAT(same.text, StartsWith("identical through step 80, where both end\n"));
  EXPECT_THAT(same.text, AllOf(Not(HasSubstr("train ")), Not(HasSubstr("tensors"))));
}

TEST_F(CompareReportTest, OneThatIsLongerOrHasNotEnded) {
  write_digests("b", 55);
  fs::remove(path("b") + "/summary.json");
  const auto shorter = compare();
  EXPECT_TRUE(shorter.identical);
  EXPECT_THAT(shorter.text,
              AllOf(StartsWith("identical through step 55, where B ends; A goes on to step 80\n"),
                    HasSubstr("not ended")));
}

TEST_F(CompareReportTest, FirstDifferenceWithTensorsOfTheNextCommonCheckpoint) {
  write_digests("b", 80, 51);
  for (const char* run : {"a", "b"}) {
    save(run, 20);
    save(run, 40);
  }
  save("a", 50);
  save("b", 60, [](Snapshot& snapshot) { snapshot.weights.data()[0] += 100; });
  const auto change = [this](Snapshot& snapshot) {
    const auto& fc1 = model_[0];
    const auto& conv1 = model_[2];
    snapshot.weights.data()[fc1.offset + 48 + 5] += 0.5F;
    snapshot.weights.data()[conv1.offset + 149] += 2;
    snapshot.weights.data()[conv1.offset + 51] += 1;
    snapshot.optimizer[0].values.data()[fc1.offset] += 1;
  };
  save("a", 70);
  save("b", 70, change);
  const auto found = compare();
  EXPECT_FALSE(found.identical);
  EXPECT_THAT(found.text,
              StartsWith("different from step 51 on (epoch 2): weights\nidentical through step 50\n"));
  EXPECT_THAT(found.text,
              HasSubstr("\ntensors that differ after step 70, the first of the network marked\n"
                        "> weights/conv1.weight          2 of 150  by up to 2    first at [1, 0, 0, 1]\n"
                        "  weights/fc1.weight            1 of 480  by up to 0.5  first at [1, 5]\n"
                        "  optimizer/moment1/fc1.weight  1 of 480  by up to 1    first at [0, 0]\n\n"));
  EXPECT_THAT(found.text, HasSubstr("nothing in the set-up explains it"));
  const auto replay = [this](const std::string& run) {
    return fmt::format(
        "  mpirun -n 2 lockstep train {0}/experiment.yaml --from {0}/checkpoints/step-000000000040.h5 "
        "--until 51 output.name={1}-replay digests.every=1\n",
        path(run), run);
  };
  EXPECT_THAT(found.text, HasSubstr("from step 40, their last checkpoint in common before that"));
  EXPECT_THAT(found.text,
              HasSubstr(replay("a") + replay("b") +
                        fmt::format("  lockstep compare {}-replay {}-replay\n", path("a"), path("b"))));
}

TEST_F(CompareReportTest, ReplayStartsWhereAllIsEqual) {
  write_digests("b", 80, 51);
  for (const char* run : {"a", "b"}) save(run, 20);
  save("a", 40);
  save("b", 40, [](Snapshot& snapshot) { ++snapshot.optimizer_digest; });
  EXPECT_THAT(compare().text, HasSubstr("--from " + path("a") + "/checkpoints/step-000000000020.h5"));
}

TEST_F(CompareReportTest, ADamagedCheckpointIsPassedOver) {
  write_digests("b", 80, 51);
  for (const char* run : {"a", "b"})
    for (const std::int64_t step : {20, 40, 60, 70}) save(run, step);
  for (const char* name : {"40", "60"}) {
    const std::string damaged = path("a") + "/checkpoints/step-0000000000" + name + ".h5";
    checkpoint::overwrite(damaged, checkpoint::contents(damaged) + "x");
  }
  EXPECT_THAT(compare().text,
              AllOf(HasSubstr("all tensors are equal after step 70"), HasSubstr("step-000000000020.h5")));
}

TEST_F(CompareReportTest, TensorsOfTheFinalWeights) {
  write_digests("b", 80, 80);
  save_weights("a", 80, 0);
  save_weights("b", 80, 1);
  const auto found = compare();
  EXPECT_THAT(
      found.text,
      StartsWith("different from step 80 on (epoch 2): weights, optimizer, order of samples, metrics\n"));
  EXPECT_THAT(found.text, HasSubstr("> weights/fc1.weight  1 of 480  by up to 1  first at [0, 0]\n"));
  EXPECT_THAT(found.text, HasSubstr("again from the start, with"));
  EXPECT_THAT(found.text, Not(HasSubstr("--from")));
  save_weights("b", 79, 1);
  EXPECT_THAT(compare().text, HasSubstr("no tensors to compare"));
}

TEST_F(CompareReportTest, AnIntervalWhereThereAreGaps) {
  write_digests("b", 80, 51, 10);
  EXPECT_THAT(compare().text, StartsWith("different, first between steps 50 and 60 (epoch 2): weights\n"));
}

TEST_F(CompareReportTest, WhatDiffersInTheSetUp) {
  write_digests("b", 80, 51);
  write("b", "experiment.yaml",
        "name: other\nseed: 2\nmodel:\n  - conv2d: {name: conv1}\n  - dense: {name: fc1}\n");
  write("b", "environment.json", R"json({"ranks": 3, "device": "cpu (avx512)"})json");
  const auto found = compare();
  EXPECT_THAT(found.text, HasSubstr("\nsettings  A  B\n  seed    1  2\n"));
  EXPECT_THAT(found.text, HasSubstr("\n  device                           cpu (avx2)  cpu (avx512)\n"));
  EXPECT_THAT(found.text, HasSubstr("\nwithout influence on results"));
  EXPECT_THAT(found.text, Not(HasSubstr("nothing in the set-up")));
  const auto replay_of_b = fmt::format(
      "mpirun -n 3 lockstep train {0}/experiment.yaml --until 51 output.dir={1} output.name=b-replay",
      path("b"), folder_.path().string());
  EXPECT_THAT(found.text, HasSubstr(replay_of_b));
}

TEST_F(CompareReportTest, WhatARunWentOnWithExplainsADifference) {
  for (const char* run : {"a", "b"}) {
    write(run, "experiment.yaml", "device: {instruction_set: auto}\n");
    write(run, "environment.json", R"json({"ranks": 2, "instruction_set": "avx512_core"})json");
  }
  write_digests("b", 80, 21);
  EXPECT_THAT(compare().text, HasSubstr("nothing in the set-up explains it"));
  write("b", "environment-000000000020.json", R"json({"ranks": 3, "instruction_set": "avx2"})json");
  // Not before they differ.
  write("b", "environment-000000000021.json", R"json({"ranks": 4, "instruction_set": "sse41"})json");
  const auto found = compare();
  EXPECT_THAT(found.text, HasSubstr("  instruction_set                  avx512_core  "
                                    "avx512_core, from step 21 on avx2\n"));
  EXPECT_THAT(found.text, HasSubstr("  ranks                       2  2, from step 21 on 3\n"));
  EXPECT_THAT(found.text, AllOf(Not(HasSubstr("nothing in the set-up")), Not(HasSubstr("sse41"))));
  EXPECT_THAT(found.text, AllOf(HasSubstr("mpirun -n 2 lockstep train " + path("a")),
                                HasSubstr("mpirun -n 3 lockstep train " + path("b")),
                                HasSubstr("digests.every=1 device.instruction_set=avx512_core\n"),
                                HasSubstr("digests.every=1 device.instruction_set=avx2\n")));
  const std::string change = "B was computed with avx512_core through step 20, then with avx2; its command";
  EXPECT_THAT(found.text, HasSubstr(change)) << "it starts before that";
  for (const char* run : {"a", "b"}) save(run, 20);
  EXPECT_THAT(compare().text, AllOf(HasSubstr("from step 20, "), Not(HasSubstr("was computed with"))));
}

TEST_F(CompareReportTest, RunsAreComputedAgainOnTheDeviceThatTheyHadThen) {
  const auto session = [this](std::int64_t step, const std::string& device) {
    write("b", fmt::format("environment-{:012}.json", step),
          fmt::format(R"json({{"ranks": 1, "device": "{}"}})json", device));
  };
  write("b", "experiment.yaml", "device: {kind: cuda, precision: tf32}\n");
  session(60, "cuda (Some GPU, 9.0, tf32)");
  write_digests("b", 80, 51);
  EXPECT_THAT(compare().text, AllOf(HasSubstr("digests.every=1 device.kind=cpu device.precision=fp32\n"),
                                    Not(HasSubstr("was computed with"))))
      << "the run went on with a GPU after they differed";
  session(40, "cuda (Some GPU, 9.0, fp32)");
  EXPECT_THAT(
      compare().text,
      AllOf(HasSubstr("digests.every=1 device.precision=fp32\n"),
            HasSubstr("B was computed with cpu (avx2) through step 40, then with cuda (Some GPU, 9.0, "
                      "fp32); its command")));
  session(45, "cuda (Some GPU, 9.0, tf32)");
  EXPECT_THAT(compare().text, AllOf(HasSubstr("digests.every=1\n"), Not(HasSubstr("device.")),
                                    HasSubstr("with cuda (Some GPU, 9.0, fp32) through step 45, then")));
}

TEST_F(CompareReportTest, IdenticalRunsTellWhereTheyWentOn) {
  write("b", "environment-000000000050.json", R"json({"ranks": 3, "device": "cpu (avx2)"})json");
  EXPECT_THAT(compare().text, HasSubstr("  ranks                       2  2, from step 51 on 3\n"));
}

TEST_F(CompareReportTest, TheInstructionSetInUseCountsAndNotHowItWasChosen) {
  for (const char* run : {"a", "b"})
    write(run, "environment.json", R"json({"ranks": 1, "instruction_set": "avx2"})json");
  write("a", "experiment.yaml", "device: {instruction_set: auto}\n");
  write("b", "experiment.yaml", "device: {instruction_set: avx2}\n");
  write_digests("b", 80, 51);
  EXPECT_THAT(compare().text, HasSubstr("nothing in the set-up explains it"));
}

TEST_F(CompareReportTest, ArithmeticIsOfTheExperimentToo) {
  const auto report = [this](const std::string& seed) {
    for (const std::string run : {"a", "b"}) {
      write(run, "experiment.yaml", "seed: " + (run == "a" ? "1" : seed) + "\n");
      write(run, "environment.json", R"json({"arithmetic": "of )json" + run + "\"}");
    }
    write_digests("b", 80, 51);
    return compare().text;
  };
  EXPECT_THAT(report("1"), AllOf(HasSubstr("\n  arithmetic                       of a  of b\n"),
                                 Not(HasSubstr("nothing in the set-up"))));
  EXPECT_THAT(report("2"), AllOf(HasSubstr("\n  seed    1  2\n"), Not(HasSubstr("arithmetic"))));
}

TEST_F(CompareReportTest, ReplayFindsAFreeNameAndTheData) {
  write_digests("b", 80, 51);
  write("elsewhere", "data.h5", "");
  write("b", "experiment.yaml", "name: b\ndata: {train: {file: data.h5}}\n");
  write("b", "environment.json",
        fmt::format(R"json({{"ranks": 1, "working_directory": "{}"}})json", path("elsewhere")));
  fs::create_directories(path("b-replay"));
  EXPECT_THAT(compare().text,
              HasSubstr(fmt::format("\n  lockstep train {}/experiment.yaml --until 51 output.dir={} "
                                    "output.name=b-replay-2 digests.every=1 data.train.file={}/data.h5\n",
                                    path("b"), folder_.path().string(), path("elsewhere"))));
}

TEST_F(CompareReportTest, WhatIsMissingOrDamagedIsNamed) {
  expect_error(error_of([&] { compare_runs(path("a"), path("none"), "lockstep"); }), ExitCode::no_input,
               {path("none")});
  write("b", "digests.csv", "step,epoch,weights,optimizer,samples,metrics\n0,1,oops,,,\n");
  expect_error(error_of([&] { compare(); }), ExitCode::bad_data, {path("b") + "/digests.csv:2: "});
  write_digests("b", 80);
  write("b", "environment.json", "{");
  expect_error(error_of([&] { compare(); }), ExitCode::bad_data, {path("b") + "/environment.json"});
  fs::remove(path("b") + "/environment.json");
  expect_error(error_of([&] { compare(); }), ExitCode::no_input, {path("b") + "/environment.json"});
}

TEST_F(CompareReportTest, RunsWithoutACommonStepCannotBeCompared) {
  write("b", "digests.csv", "step,epoch,weights,optimizer,samples,metrics\n90,3,00000000000000aa,,,\n");
  expect_error(error_of([&] { compare(); }), ExitCode::bad_data, {"0 to 80", "90 to 90"});
}

}  // namespace
}  // namespace lockstep::train
