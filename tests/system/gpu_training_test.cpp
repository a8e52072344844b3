// Trainings on imagined GPUs: the same bits on any number of them and in any order of their work, and close
// to what the CPU computes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "system/gpu.h"
#include "system/run_files.h"

namespace lockstep::testing {
namespace {

/// Of weights, after some steps of training: only rounding differs.
constexpr double bound = 1e-5;

TEST_F(GpuTest, SoftmaxRegressionOnAnyNumberOfGpus) {
  const Words steps{"training.batch=1000", "--until", "13"};  // the end of an epoch lies within
  train(train_on_gpus("mnist_softmax", "1", steps));
  for (const int ranks : {2, 3, 4}) {
    const std::string name = std::to_string(ranks);
    train(train_on_gpus("mnist_softmax", name, steps), {.ranks = ranks, .settings = "seed=" + name});
    EXPECT_TRUE(outcome(name) == outcome("1")) << ranks;
  }
  train(train_on_gpus("mnist_softmax", "cpu", {"device.kind=cpu", "training.batch=1000", "--until", "13"}));
  EXPECT_LT(difference("1", "cpu"), bound);
}

TEST_F(GpuTest, ConvolutionalNetworkOnAnyNumberOfGpus) {
  const Words steps{"--until", "4"};
  train(train_on_gpus("mnist_cnn", "1", steps));
  for (const int ranks : {2, 3, 4}) {
    const std::string name = std::to_string(ranks);
    train(train_on_gpus("mnist_cnn", name, steps), {.ranks = ranks});
    EXPECT_TRUE(outcome(name) == outcome("1")) << ranks;
  }
  train(train_on_gpus("mnist_cnn", "cpu", {"device.kind=cpu", "--until", "4"}));
  EXPECT_LT(difference("1", "cpu"), bound);
}

TEST_F(GpuTest, TheWayOfTheGradientsChangesNoBit) {
  const Words steps{"--until", "10"};
  train(train_on_gpus("mnist_softmax", "nccl", steps), {.ranks = 2});
  train(train_on_gpus("mnist_softmax", "mpi", {"device.exchange=mpi", "--until", "10"}), {.ranks = 2});
  train(train_on_gpus("mnist_softmax", "host", {"device.data=host", "--until", "10"}), {.ranks = 2});
  train(train_on_gpus("mnist_softmax", "branches", {"device.branches=1", "--until", "10"}), {.ranks = 2});
  for (const char* other : {"mpi", "host", "branches"})
    EXPECT_TRUE(outcome(other) == outcome("nccl")) << other;
}

TEST_F(GpuTest, InRunModeCloseToLockstep) {
  train(train_on_gpus("mnist_softmax", "lockstep", {"--until", "10"}), {.ranks = 2});
  train(train_on_gpus("mnist_softmax", "run", {"training.reproducibility=run", "--until", "10"}),
        {.ranks = 2});
  EXPECT_LT(difference("lockstep", "run"), bound);
}

TEST_F(GpuTest, LowerPrecisionIsOtherButNear) {
  train(train_on_gpus("mnist_cnn", "fp32", {"--until", "2"}));
  for (const char* precision : {"tf32", "bf16"}) {
    train(train_on_gpus("mnist_cnn", precision,
                        {fmt::format("device.precision={}", precision), "--until", "2"}));
    const double off = difference("fp32", precision);
    EXPECT_GT(off, 0) << precision;
    EXPECT_LT(off, 1e-2) << precision;
  }
}

/// Rank 1's cuDNN recommends other algorithms, which add in other orders.
TEST_F(GpuTest, AllRanksUseTheAlgorithmsThatRankZeroChose) {
  const Words other_on_rank_1{
      "sh", "-c",
      R"([ "$OMPI_COMM_WORLD_RANK" = 1 ] && export LOCKSTEP_STANDIN="$LOCKSTEP_STANDIN,cudnn_model=2"; exec "$@")",
      "sh"};
  train(train_on_gpus("mnist_cnn", "alike", {"--until", "2"}), {.ranks = 2});
  train(train_on_gpus("mnist_cnn", "mixed", {"--until", "2"}), {.ranks = 2, .wrapper = other_on_rank_1});
  train(train_on_gpus("mnist_cnn", "other", {"--until", "2"}), {.ranks = 2, .settings = "cudnn_model=2"});
  EXPECT_TRUE(outcome("mixed") == outcome("alike"));
  EXPECT_FALSE(outcome("other") == outcome("alike")) << "there is nothing to agree on";
}

TEST_F(GpuTest, AStoppedTrainingGoesOnWithTheSameBits) {
  train(train_on_gpus("mnist_cnn", "whole", {"--until", "4"}));
  train(train_on_gpus("mnist_cnn", "stopped", {"--until", "2"}), {.ranks = 2});
  // On GPUs that would now choose other algorithms.
  train({"resume", run_folder("stopped"), "--until", "4"}, {.ranks = 3, .settings = "cudnn_model=2"});
  EXPECT_TRUE(outcome("stopped") == outcome("whole"));
}

TEST_F(GpuTest, ACheckpointMovesBetweenCpuAndGpu) {
  train(train_on_gpus("mnist_cnn", "cpu", {"device.kind=cpu", "--until", "4"}));
  train(train_on_gpus("mnist_cnn", "begun", {"device.kind=cpu", "--until", "2"}));
  const std::string checkpoint = run_folder("begun") + "/checkpoints/step-000000000002.h5";
  const auto moves = [](const ProcessResult& result) {
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("the bits may not be those"), std::string::npos) << "it warns";
  };
  moves(run_on_gpus(train_on_gpus("mnist_cnn", "gpu", {"--from", checkpoint, "--until", "4"}), {.ranks = 2}));
  EXPECT_LT(difference("gpu", "cpu"), bound);
  const std::string back = run_folder("gpu") + "/checkpoints/step-000000000004.h5";
  moves(run_on_gpus(train_on_gpus("mnist_cnn", "back", {"device.kind=cpu", "--from", back, "--until", "5"})));
  train(train_on_gpus("mnist_cnn", "on", {"device.kind=cpu", "--until", "5"}));
  EXPECT_LT(difference("back", "on"), bound);
  moves(run_on_gpus({"resume", run_folder("begun"), "device.kind=cuda", "--until", "4"}));
  EXPECT_LT(difference("begun", "cpu"), bound);
}

TEST_F(GpuTest, ARunIsEvaluatedToTheBit) {
  train(train_on_gpus("mnist_softmax", "run", {"training.epochs=1"}), {.ranks = 2});
  const ProcessResult result = run_on_gpus({"evaluate", run_folder("run")}, {.ranks = 3});
  expect_success(result);
  EXPECT_NE(result.out.find("the same as the run recorded, to the bit"), std::string::npos) << result.out;
  const ProcessResult on_cpu = run_on_gpus({"evaluate", run_folder("run"), "device.kind=cpu"});
  expect_success(on_cpu);
  EXPECT_NE(on_cpu.out.find("validation loss"), std::string::npos) << on_cpu.out;
}

TEST_F(GpuTest, ARunGoesOnInAnotherPrecision) {
  train(train_on_gpus("mnist_cnn", "run", {"--until", "2"}));
  const ProcessResult result =
      run_on_gpus({"resume", run_folder("run"), "device.precision=tf32", "--until", "3"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("the bits may not be those"), std::string::npos) << "it warns";
}

}  // namespace
}  // namespace lockstep::testing
