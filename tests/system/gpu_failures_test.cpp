// GPUs that are not there, or fail: one message that says what and where, and nothing hangs.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "system/gpu.h"
#include "system/run_files.h"

namespace lockstep::testing {
namespace {

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

/// Each library call in turn, in set-up and, where it is called so often, later.
class FailingCall : public GpuFailures, public ::testing::WithParamInterface<const char*> {};

TEST_P(FailingCall, IsNamed) {
  int met = 0;
  for (const int k : {1, 7}) {
    const ProcessResult result =
        run_on_gpus(small(fmt::format("run{}", k)),
                    {.ranks = 2, .settings = fmt::format("rank=1,fail={}:{}", GetParam(), k)});
    EXPECT_FALSE(result.timed_out);
    if (result.status == 0) continue;  // it was not called so often
    ++met;
    const std::vector<std::string> said = messages(result);
    ASSERT_EQ(said.size(), 1U) << result.err;
    EXPECT_THAT(said.front(), HasSubstr(GetParam()));
    EXPECT_THAT(said.front(), HasSubstr("rank 1"));
    if (std::string_view(GetParam()) == "cudaMalloc")
      EXPECT_THAT(said.front(), HasSubstr("has no room for"));
    else
      EXPECT_THAT(said.front(), ::testing::ContainsRegex("[a-z_]+\\.(cpp|cu|h):[0-9]+"));
  }
  EXPECT_GE(met, 1) << "nobody calls it";
}

INSTANTIATE_TEST_SUITE_P(Each, FailingCall,
                         ::testing::Values("cudaSetDevice", "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync",
                                           "cudaMemsetAsync", "cudaStreamCreateWithFlags", "cudaStreamQuery",
                                           "cudaEventRecord", "cudaStreamWaitEvent", "cudaStreamBeginCapture",
                                           "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphLaunch",
                                           "cublasCreate", "cublasSetWorkspace", "cublasGemmEx",
                                           "ncclCommInitRankConfig", "ncclSend", "ncclRecv", "ncclGroupEnd"),
                         [](const auto& call) { return std::string(call.param); });

/// Work of one rank that is never done.
TEST_F(GpuFailures, AnExchangeThatStandsStillIsEnded) {
  const ProcessResult result = run_on_gpus(small(), {.ranks = 2, .settings = "rank=1,stall=ncclGroupEnd:6"});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::internal)) << result.err;
  EXPECT_THAT(result.err, HasSubstr("all ranks wait for each other for 5 s"));
}

TEST_F(GpuTest, DoctorFindsNothingWrong) {
  for (const int ranks : {1, 2}) {
    const ProcessResult result = run_on_gpus({"doctor", "--gpu", "--json"}, {.ranks = ranks});
    expect_success(result);
    const nlohmann::json report = nlohmann::json::parse(result.out);
    EXPECT_EQ(report["devices"].size(), 4U);
    EXPECT_GT(report["checks"].size(), 10U);
    for (const nlohmann::json& check : report["checks"]) EXPECT_TRUE(check["passed"]) << check;
  }
}

TEST_F(GpuTest, DoctorSaysWhenThereIsNoGpu) {
  const ProcessResult result = run_on_gpus({"doctor", "--gpu"}, {.settings = "driver=none"});
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::no_device));
  EXPECT_THAT(result.out, HasSubstr("this machine has none"));
}

}  // namespace
}  // namespace lockstep::testing
