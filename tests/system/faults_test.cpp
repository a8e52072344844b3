// Faults on purpose: what Lockstep notices, and what it does about it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <regex>

#include "comm/collective.h"
#include "data/stripes.h"
#include "system/run_files.h"
#include "system/system_test.h"
#include "train/arithmetic_check.h"

namespace lockstep::testing {
namespace {

constexpr std::int64_t samples = 10'000;  // of small_file()
constexpr std::int64_t batch = 500;
constexpr std::int64_t shards = 8;
constexpr std::int64_t steps = samples / batch;

class FaultsTest : public SystemTest {
 protected:
  /// 20 steps of a network whose ranks own different blocks, with AdamW, which has state.
  [[nodiscard]] ProcessResult train(int ranks, const std::string& faults,
                                    const Words& options = {"--allow-faults"}) const {
    Words words = train_shipped("smoke", small_file(),
                                into("run", {fmt::format("training.batch={}", batch),
                                             fmt::format("training.shards={}", shards), "faults=" + faults}));
    words.insert(words.end(), options.begin(), options.end());
    return run(words, {.ranks = ranks});
  }
};

/// Of a random bit at a random moment, on as many ranks as the parameter says.
TEST_F(FaultsTest, APlanThatComputesOtherBitsIsNamed) {
  expect_failure(train(3, "[miscompute: {rank: 1}]"), ExitCode::internal, {"on rank 1 ("});
}

class FlipTest : public FaultsTest, public ::testing::WithParamInterface<int> {
 protected:
  [[nodiscard]] std::int64_t draw(std::int64_t below) {
    return std::uniform_int_distribution<std::int64_t>(0, below - 1)(random_);
  }
  /// Flips a bit of `target`, which may say more, and expects that the job ends before the update of the step
  /// with one message, which has all the parts. Returns what was said.
  std::string expect_stopped(std::int64_t rank, std::int64_t step, const std::string& target,
                             const std::vector<std::string>& parts, const Words& checks = {}) {
    const std::string flip = fmt::format("[flip: {{rank: {}, step: {}, element: {}, bit: {}, target: {}}}]",
                                         rank, step, draw(1'000'000), draw(32), target);
    SCOPED_TRACE(flip);
    Words options{"--allow-faults"};
    options.insert(options.end(), checks.begin(), checks.end());
    const ProcessResult result = train(GetParam(), flip, options);
    expect_failure(result, ExitCode::internal, parts);
    EXPECT_FALSE(std::filesystem::exists(run_folder("run") + "/final_weights.h5"));
    const nlohmann::json summary = json_of(run_folder("run") + "/summary.json");
    EXPECT_EQ(summary["status"], "failed");
    EXPECT_EQ(summary["steps_done"], step - 1);
    return result.err;
  }
  /// Flips a bit of a random rank's memory; the message must name rank, step and a tensor.
  void expect_caught(const std::string& target, const std::string& what) {
    const std::int64_t rank = draw(GetParam());
    const std::int64_t step = 1 + draw(steps);
    std::vector<std::string> parts{fmt::format("before step {}: bits of {} (", step, what)};
    if (GetParam() > 1) parts.push_back(fmt::format("rank {} on ", rank));
    const std::string message = expect_stopped(rank, step, target, parts);
    EXPECT_TRUE(std::regex_search(message, std::regex("\\((conv2d|dense)_[12]\\.(weight|bias)"))) << message;
  }

 private:
  std::mt19937 random_{std::random_device()()};
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

TEST_P(FlipTest, OfAGradient) {
  // Only one shard of a step is computed again: hit that one.
  constexpr std::uint64_t seed = 1;  // of the experiment
  const std::int64_t step = 1 + draw(steps);
  const train::CheckedShard checked =
      train::checked_shard(seed, step, data::Stripes(samples, batch, shards), GetParam());
  const Range owned = comm::shards_of_rank(shards, GetParam(), checked.owner);
  expect_stopped(checked.owner, step, fmt::format("gradient, shard: {}", checked.shard - owned.begin),
                 {fmt::format("step {}: rank {} on ", step, checked.owner),
                  fmt::format(" computed shard {} ", checked.shard), "The step was not applied"},
                 {"checks.arithmetic_every=1"});
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
