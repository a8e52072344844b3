// Faults on purpose: what Lockstep notices, and what it does about it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <regex>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t steps = 20;

class FaultsTest : public SystemTest {
 protected:
  /// 20 steps of a network whose ranks own different blocks, with AdamW, which has state.
  [[nodiscard]] ProcessResult train(int ranks, const std::string& faults,
                                    const Words& options = {"--allow-faults"}) const {
    Words words =
        train_shipped("smoke", small_file(), into("run", {"training.batch=500", "faults=" + faults}));
    words.insert(words.end(), options.begin(), options.end());
    return run(words, {.ranks = ranks});
  }
};

class FlipTest : public FaultsTest, public ::testing::WithParamInterface<int> {
 protected:
  /// Flips a bit on a random rank in a random step; the message must name both, and a tensor.
  void expect_caught(const std::string& target, const std::string& what) const {
    std::random_device device;
    const unsigned random_seed = device();
    std::mt19937 random(random_seed);
    const auto rank = static_cast<int>(random() % static_cast<unsigned>(GetParam()));
    const auto step = static_cast<std::int64_t>(1 + random() % steps);
    SCOPED_TRACE(fmt::format("seed {}: {} on rank {} in step {}", random_seed, target, rank, step));
    const ProcessResult result =
        train(GetParam(), fmt::format("[flip: {{rank: {}, step: {}, target: {}, element: {}, bit: {}}}]",
                                      rank, step, target, random() % 1'000'000, random() % 32));
    expect_failure(result, ExitCode::internal, {fmt::format("before step {}: bits of {} (", step, what)});
    ASSERT_EQ(messages(result).size(), 1U);
    if (GetParam() > 1) {
      EXPECT_THAT(messages(result).front(), HasSubstr(fmt::format("rank {} on ", rank)));
    }
    EXPECT_TRUE(
        std::regex_search(messages(result).front(), std::regex("\\((conv2d|dense)_[12]\\.(weight|bias)")))
        << messages(result).front();
    EXPECT_FALSE(std::filesystem::exists(run_folder("run") + "/final_weights.h5"));
    const nlohmann::json summary = json_of(run_folder("run") + "/summary.json");
    EXPECT_EQ(summary["status"], "failed");
    EXPECT_EQ(summary["steps_done"], step - 1);
  }
};

TEST_P(FlipTest, OfAnOwnedWeight) {
  expect_caught("owned_weight", "the weights");
}

TEST_P(FlipTest, OfACopiedWeight) {
  if (GetParam() == 1) {
    expect_failure(train(1, "[flip: {rank: 0, step: 3, target: copied_weight}]"), ExitCode::bad_config,
                   {"rank 0 in step 3", "copies of other ranks' weights"});
    return;
  }
  expect_caught("copied_weight", "the weights");
}

TEST_P(FlipTest, OfTheOptimizersState) {
  expect_caught("optimizer_state", "the optimizer's state");
}

INSTANTIATE_TEST_SUITE_P(Ranks, FlipTest, ::testing::Values(1, 2, 4));

TEST_F(FaultsTest, NanInAGradient) {
  expect_failure(train(2, "[nan: {rank: 1, step: 4}]"), ExitCode::bad_data,
                 {"epoch 1, step 4 of 20: the gradient of ", " is not finite"});
}

TEST_F(FaultsTest, FullDisk) {
  expect_failure(train(2, "[io_error: {rank: 0, step: 4}]"), ExitCode::io_error,
                 {run_folder("run"), "No space left on device"});
  EXPECT_FALSE(std::filesystem::exists(run_folder("run") + "/final_weights.h5"));
}

TEST_F(FaultsTest, AreRefusedUnlessAllowed) {
  expect_failure(train(2, "[kill: {rank: 0}]", {}), ExitCode::bad_config,
                 {"smoke.yaml", "faults", "--allow-faults"});
  expect_failure(train(1, "[kill: {rank: 1}]"), ExitCode::bad_config,
                 {"smoke.yaml", "faults.0.rank is 1", "0 to 0"});
  EXPECT_FALSE(std::filesystem::exists(run_folder("run")));
}

}  // namespace
}  // namespace lockstep::testing
