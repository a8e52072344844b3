// GPUs that are not there, or fail: one message that says what and where, and nothing hangs.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "system/gpu.h"
#include "system/run_files.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class GpuFailures : public GpuTest {
 protected:
  [[nodiscard]] Words small(const std::string& name = "run") const {
    return train_on_gpus("mnist_softmax", name, {"--until", "3", "training.watchdog_seconds=5"});
  }
};

TEST_F(GpuFailures, NoDriver) {
  expect_failure(run_on_gpus(small(), {.ranks = 2, .settings = "driver=none"}), ExitCode::no_device,
                 {"NVIDIA's driver, and this machine has none"});
}

TEST_F(GpuFailures, DriverThatIsTooOld) {
  expect_failure(run_on_gpus(small(), {.ranks = 2, .settings = "driver=12000"}), ExitCode::no_device,
                 {"12.0", "13.0"});
}

TEST_F(GpuFailures, MoreRanksThanGpus) {
  expect_failure(run_on_gpus(small(), {.ranks = 2, .settings = "devices=1"}), ExitCode::no_device,
                 {"rank 1 on "});
}

TEST_F(GpuFailures, ListedGpuThatIsNotThere) {
  Words words = small();
  words.emplace_back("device.gpus=[7]");
  expect_failure(run_on_gpus(words), ExitCode::no_device, {"7"});
}

TEST_F(GpuFailures, LittleMemory) {
  Words words = small();
  words.emplace_back("device.data=device");
  expect_failure(run_on_gpus(words, {.settings = "memory_mb=4"}), ExitCode::internal,
                 {"device 0 has no room for", "MiB"});
}

/// Each library call in turn: when it is first made, and later, up to what the steps of a training call. (How
/// often a stream is asked whether it is idle is a matter of time.)
struct Call {
  const char* name;
  std::vector<int> numbers;
};

class FailingCall : public GpuFailures, public ::testing::WithParamInterface<Call> {};

TEST_P(FailingCall, IsNamed) {
  const auto& [name, numbers] = GetParam();
  for (const int k : numbers) {
    SCOPED_TRACE(k);
    const std::string run = fmt::format("run{}", k);
    const bool of_cudnn = std::string_view(name).starts_with("cudnn");
    const Words words = of_cudnn ? train_on_gpus("mnist_cnn", run, {"--until", "2"}) : small(run);
    const ProcessResult result =
        run_on_gpus(words, {.ranks = 2, .settings = fmt::format("rank=1,fail={}:{}", name, k)});
    EXPECT_FALSE(result.timed_out);
    EXPECT_NE(result.status, 0) << "it was not called so often, or nobody noticed";
    const std::vector<std::string> said = messages(result);
    ASSERT_EQ(said.size(), 1U) << result.err;
    EXPECT_THAT(said.front(), HasSubstr(name));
    EXPECT_THAT(said.front(), HasSubstr("rank 1"));
    if (std::string_view(name) == "cudaMalloc")
      EXPECT_THAT(said.front(), HasSubstr("has no room for"));
    else
      EXPECT_THAT(said.front(), ::testing::ContainsRegex("[a-z_]+\\.(cpp|cu|h):[0-9]+"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Each, FailingCall,
    ::testing::Values(Call{"cudaMalloc", {1, 30}}, Call{"cudaHostAlloc", {1, 12}},
                      Call{"cudaMemcpyAsync", {1, 20}}, Call{"cudaStreamCreateWithFlags", {1, 5}},
                      Call{"cudaStreamQuery", {1}}, Call{"cudaEventRecord", {1, 8}},
                      Call{"cudaStreamWaitEvent", {1, 8}}, Call{"cudaStreamBeginCapture", {1, 2}},
                      Call{"cudaStreamEndCapture", {1, 2}}, Call{"cudaGraphInstantiate", {1, 2}},
                      Call{"cudaGraphLaunch", {1, 3}}, Call{"cublasCreate", {1}},
                      Call{"cublasSetWorkspace", {1}}, Call{"cublasGemmEx", {1, 12}},
                      Call{"cudnnCreate", {1}}, Call{"cudnnConvolutionBiasActivationForward", {1}},
                      Call{"cudnnConvolutionBackwardFilter", {1, 10}}, Call{"ncclCommInitRankConfig", {1}},
                      Call{"ncclSend", {1, 3}}, Call{"ncclRecv", {2}}, Call{"ncclGroupEnd", {1, 5}}),
    [](const auto& call) { return std::string(call.param.name); });

/// Work of one rank that is never done.
TEST_F(GpuFailures, AnExchangeThatStandsStillIsEnded) {
  const ProcessResult result = run_on_gpus(small(), {.ranks = 2, .settings = "rank=1,stall=ncclGroupEnd:6"});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::internal)) << result.err;
  EXPECT_THAT(result.err, HasSubstr("all ranks wait for each other for 5 s"));
}

/// The third graph that the rank's device is given: one of the training's first steps.
TEST_F(GpuFailures, AStepThatIsNeverDoneIsEnded) {
  const ProcessResult result = run_on_gpus(small(), {.settings = "stall=cudaGraphLaunch:3"});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::internal)) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("rank 0 on "), HasSubstr("made no progress for 5 s")));
}

/// With an experiment trained for some steps, and in full.
TEST_F(GpuTest, DoctorFindsNothingWrong) {
  expect_success(
      run_on_gpus(train_on_gpus("mnist_softmax", "small", {"training.epochs=1", "training.batch=2000"})));
  const std::string yaml = run_folder("small") + "/experiment.yaml";
  for (const int ranks : {1, 2}) {
    const std::string json = file(fmt::format("{}.json", ranks));
    expect_success(run_on_gpus({"doctor", "--gpu", "--json", json, "--published", yaml}, {.ranks = ranks}));
    const nlohmann::json report = json_of(json);
    EXPECT_EQ(report["devices"].size(), 4U);
    EXPECT_GT(report["checks"].size(), 15U);
    for (const nlohmann::json& check : report["checks"]) EXPECT_TRUE(check["passed"]) << check;
    EXPECT_EQ(report["trainings"].size(), 2U) << "run and lockstep";
    EXPECT_TRUE(report["trainings"][0]["published_seconds"].is_null()) << "nobody published this one";
    EXPECT_EQ(report["libraries"]["NCCL"], "2.28.9");
    const std::string text = report.dump();
    for (const char* name : {"all-reduce among ranks: 2", "exchange of 67 MB among ranks: 2, by nccl",
                             "all-reduce of 67 MB among ranks: 2, by nccl"})
      EXPECT_EQ(text.find(name) != std::string::npos, ranks == 2) << name;
  }
}

TEST_F(GpuTest, DoctorGoesOnBehindACheckThatFails) {
  const std::string json = file("found.json");
  const ProcessResult result =
      run_on_gpus({"doctor", "--gpu", "--json", json}, {.settings = "fail=cudnnConvolutionForward:1"});
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::internal));
  EXPECT_THAT(result.out, HasSubstr("FAILED: "));
  EXPECT_THAT(result.out, HasSubstr("cudnnConvolutionForward"));
  const nlohmann::json report = json_of(json);
  const auto failed = std::count_if(report["checks"].begin(), report["checks"].end(),
                                    [](const nlohmann::json& check) { return !check["passed"].get<bool>(); });
  EXPECT_EQ(failed, 1);
  EXPECT_GT(report["checks"].size(), 15U);
  EXPECT_EQ(report["not_run"].size(), 2U) << "the published experiments are not where this test runs";
  EXPECT_THAT(result.out, HasSubstr("configs/mnist_cnn_unshuffled.yaml is not in this folder"));
}

/// A copy that is not queued, with others that are; and a device that fails for good.
TEST_F(GpuTest, DoctorReportsWhateverFails) {
  for (const char* failing : {"cudaMemcpyAsync:3", "cudaStreamSynchronize:2", "operation:5"}) {
    const std::string json = file(fmt::format("{}.json", failing));
    const ProcessResult result =
        run_on_gpus({"doctor", "--gpu", "--json", json}, {.settings = fmt::format("fail={}", failing)});
    EXPECT_EQ(result.status, static_cast<int>(ExitCode::internal)) << failing << result.err;
    EXPECT_THAT(result.out, HasSubstr("gathering of samples")) << failing;
    EXPECT_THAT(result.out, HasSubstr("FAILED: ")) << failing;
    EXPECT_GT(json_of(json)["checks"].size(), 15U) << failing;
  }
}

TEST_F(GpuTest, DoctorSaysWhenThereIsNoGpu) {
  const ProcessResult result = run_on_gpus({"doctor", "--gpu"}, {.settings = "driver=none"});
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::no_device));
  EXPECT_THAT(result.out, HasSubstr("this machine has none"));
}

}  // namespace
}  // namespace lockstep::testing
