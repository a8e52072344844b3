// Nothing hangs: a job that stands still is ended with one message, and no process is left (see TearDown).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::HasSubstr;

class WatchdogTest : public SystemTest {
 protected:
  WatchdogTest() { allow_partial_files(); }

  /// A network with a dense layer whose gradients the ranks of a host compute together.
  [[nodiscard]] Words train(const Words& overrides) const {
    Words words =
        train_shipped("mnist_softmax", small_file(),
                      into("run", {"training.watchdog_seconds=2",
                                   "model=[flatten, {dense: {units: 100}}, relu, {dense: {units: 10}}]"}));
    words.insert(words.end(), overrides.begin(), overrides.end());
    return words;
  }

  /// The rank stops for ever in step 5; `operation` is where the job then stands, empty if that depends on
  /// the processor, without whose multiply-adds no gradients are computed together.
  void expect_stall_is_named(int ranks, int rank, const std::string& place, const std::string& operation,
                             const std::string& doing) const {
    const std::string faults = fmt::format("faults=[stall: {{rank: {}, step: 5, place: {}}}]", rank, place);
    const ProcessResult result = run(train({"--allow-faults", faults}), job(ranks));
    expect_failure(result, ExitCode::internal,
                   {fmt::format("{}, step 5: rank {} on ", operation, rank), " has made no progress for 2 s",
                    fmt::format("\n  rank {}: {}, step 5", rank, doing), "training.watchdog_seconds"});
    EXPECT_FALSE(std::filesystem::exists(run_folder("run") + "/final_weights.h5"));
  }

  /// Trains on ranks that note their processes, and calls `work` once an epoch is recorded.
  [[nodiscard]] ProcessResult train_until(int ranks, const std::function<void(pid_t)>& work) const {
    Job with_notes = job(ranks);
    with_notes.wrapper = {"sh", "-c", "echo $$ >" + file("rank") + "$OMPI_COMM_WORLD_RANK; exec \"$@\"",
                          "sh"};
    with_notes.started = [this, work](pid_t mpirun) {
      EXPECT_TRUE(wait_until([this] { return epochs() > 0; })) << "the training does not start";
      work(mpirun);
    };
    return run(train({"training.epochs=1000000"}), with_notes);
  }

  [[nodiscard]] std::int64_t epochs() const {
    const std::string rows = contents(run_folder("run") + "/metrics.csv");
    return std::ranges::count(rows, '\n') - 1;
  }
  [[nodiscard]] pid_t process_of(int rank) const {
    return std::stoi(contents(file("rank" + std::to_string(rank))));
  }

  void expect_stopped_rank_is_named(int ranks, int rank) const {
    const ProcessResult result =
        train_until(ranks, [&](pid_t /*mpirun*/) { kill(process_of(rank), SIGSTOP); });
    expect_failure(result, ExitCode::internal,
                   {", step ", fmt::format("rank {} on ", rank), " has given no sign of life for 2 s",
                    "waiting for others while "});
  }

 private:
  [[nodiscard]] Job job(int ranks) const { return {.ranks = ranks, .environment = {{"TMPDIR", folder()}}}; }
};

TEST_F(WatchdogTest, StalledLoaderAlone) {
  expect_stall_is_named(1, 0, "loader", "loading samples", "loading samples");
}

TEST_F(WatchdogTest, StalledLoader) {
  expect_stall_is_named(2, 0, "loader", "", "loading samples");
}

TEST_F(WatchdogTest, StalledWorker) {
  expect_stall_is_named(3, 2, "compute", "", "computing shards");
}

TEST_F(WatchdogTest, StallBeforeTheExchange) {
  expect_stall_is_named(3, 1, "exchange", "exchanging gradients", "preparing the update");
}

TEST_F(WatchdogTest, StoppedRank) {
  expect_stopped_rank_is_named(3, 1);
}

TEST_F(WatchdogTest, StoppedRankThatWatches) {
  expect_stopped_rank_is_named(3, 0);
}

TEST_F(WatchdogTest, KilledRankIsForMpirunToReport) {
  // On a busy machine mpirun takes two seconds and more to end the others.
  const ProcessResult result =
      run(train({"--allow-faults", "faults=[kill: {rank: 1, step: 5}]", "training.watchdog_seconds=30"}),
          {.ranks = 3, .environment = {{"TMPDIR", folder()}}});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 128 + SIGKILL) << result.err;
  EXPECT_TRUE(messages(result).empty()) << result.err;
  EXPECT_THAT(result.err, HasSubstr("rank 1"));
}

TEST_F(WatchdogTest, JobThatWasSuspendedGoesOn) {
  constexpr std::chrono::seconds longer_than_the_limit{3};
  constexpr std::chrono::milliseconds moment{500};
  const ProcessResult result = train_until(2, [&](pid_t mpirun) {
    // Rank 0 stops while it waits for rank 1, and wakes before it: what it sees is that nothing has moved.
    kill(process_of(1), SIGSTOP);
    std::this_thread::sleep_for(moment);
    kill(process_of(0), SIGSTOP);
    std::this_thread::sleep_for(longer_than_the_limit);
    const std::int64_t before = epochs();
    kill(process_of(0), SIGCONT);
    std::this_thread::sleep_for(moment);
    kill(process_of(1), SIGCONT);
    EXPECT_TRUE(wait_until([&] { return epochs() > before + 1; })) << "the training does not go on";
    kill(mpirun, SIGUSR1);
  });
  EXPECT_EQ(result.status, static_cast<int>(ExitCode::preempted)) << result.err;
  ASSERT_EQ(messages(result).size(), 1U) << result.err;
  EXPECT_NE(messages(result).front().find("a signal asks to stop"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace lockstep::testing
