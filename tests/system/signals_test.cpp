// Signals: a training ends after the step in hand, with everything written; whatever kills it, what lies in
// its folder is whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <thread>

#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SignalsTest : public SystemTest {
 protected:
  [[nodiscard]] std::string metrics() const { return run_folder("run") + "/metrics.csv"; }

  /// Trains, as good as for ever, until the signal is sent: once an epoch is recorded.
  [[nodiscard]] ProcessResult train_until(int signal, int ranks) const {
    const auto has_epoch = [&] { return contents(metrics()).find("\n1,") != std::string::npos; };
    return run(train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1000000"})),
               {.ranks = ranks,
                .environment = {{"TMPDIR", folder()}},  // MPI may not get to remove its own files
                .started = [&](pid_t process) {
                  EXPECT_TRUE(wait_until(has_epoch)) << "the training does not start";
                  kill(process, signal);
                }});
  }

  /// The tables have whole lines, and as many of them.
  void expect_whole_tables() const {
    const auto rows = csv_rows(metrics());
    const auto objects = json_lines(run_folder("run") + "/metrics.jsonl");
    ASSERT_GE(rows.size(), 2U);
    for (std::size_t i = 1; i < rows.size(); ++i) EXPECT_EQ(rows[i][0], std::to_string(i));
    for (std::size_t i = 0; i < objects.size(); ++i) EXPECT_EQ(objects[i]["epoch"], i + 1);
    // One line may have been on its way.
    EXPECT_LE(std::max(rows.size() - 1, objects.size()) - std::min(rows.size() - 1, objects.size()), 1U);
  }

  /// Than that the training stops, once.
  static void expect_no_other_message(const ProcessResult& result) {
    const Words said = messages(result);
    EXPECT_LE(said.size(), 1U) << result.err;
    for (const std::string& line : said)
      EXPECT_THAT(line, HasSubstr("a signal asks to stop: the training ends after step"));
  }

  void expect_orderly_end(const ProcessResult& result) const {
    EXPECT_FALSE(result.timed_out);
    EXPECT_EQ(result.status, 75) << result.err;
    EXPECT_EQ(messages(result).size(), 1U);
    expect_no_other_message(result);
    EXPECT_THAT(result.out, HasSubstr("stopped by a signal after"));
    expect_whole_tables();
    const nlohmann::json summary = json_of(run_folder("run") + "/summary.json");
    EXPECT_EQ(summary["status"], "stopped by a signal");
    EXPECT_THAT(summary["detail"].get<std::string>(), HasSubstr("epoch"));
    EXPECT_EQ(summary["epochs_done"], csv_rows(metrics()).size() - 1);
    const auto steps = summary["steps_done"].get<std::int64_t>();
    constexpr std::int64_t steps_per_epoch = 79;
    EXPECT_GE(steps, summary["epochs_done"].get<std::int64_t>() * steps_per_epoch);
    EXPECT_LE(steps, (summary["epochs_done"].get<std::int64_t>() + 1) * steps_per_epoch);

    const ProcessResult evaluated = run({"evaluate", run_folder("run")}, {.ranks = 2});
    expect_success(evaluated);
    EXPECT_THAT(evaluated.out, HasSubstr("(step " + std::to_string(steps) + ")"));
  }
};

TEST_F(SignalsTest, CtrlC) {
  expect_orderly_end(train_until(SIGINT, 1));
}

TEST_F(SignalsTest, Terminate) {
  expect_orderly_end(train_until(SIGTERM, 1));
}

TEST_F(SignalsTest, TerminalThatIsClosed) {
  expect_orderly_end(train_until(SIGHUP, 1));
}

TEST_F(SignalsTest, User1ToMpirun) {
  expect_orderly_end(train_until(SIGUSR1, 2));
}

TEST_F(SignalsTest, User1ToOneRankThatIsNotTheRoot) {
  const std::string process = file("process");
  const auto has_epoch = [&] { return contents(metrics()).find("\n1,") != std::string::npos; };
  const Words note_process{
      "sh", "-c", "[ \"$OMPI_COMM_WORLD_RANK\" = 2 ] && echo $$ >" + process + "; exec \"$@\"", "sh"};
  expect_orderly_end(
      run(train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=1000000"})),
          {.ranks = 3, .wrapper = note_process, .started = [&](pid_t /*mpirun*/) {
             EXPECT_TRUE(wait_until(has_epoch)) << "the training does not start";
             kill(std::stoi(contents(process)), SIGUSR1);
           }}));
}

TEST_F(SignalsTest, TerminateMpirun) {
  allow_partial_files();
  const ProcessResult result = train_until(SIGTERM, 2);
  EXPECT_FALSE(result.timed_out);
  EXPECT_NE(result.status, 0);
  expect_no_other_message(result);
  expect_whole_tables();
  if (fs::exists(run_folder("run") + "/final_weights.h5"))
    expect_success(run({"evaluate", run_folder("run")}));
  if (fs::exists(run_folder("run") + "/summary.json")) {
    EXPECT_EQ(json_of(run_folder("run") + "/summary.json")["status"], "stopped by a signal");
  }
}

TEST_F(SignalsTest, Kill) {
  allow_partial_files();
  const ProcessResult result = train_until(SIGKILL, 1);
  EXPECT_EQ(result.status, 128 + SIGKILL);
  expect_whole_tables();
  EXPECT_FALSE(fs::exists(run_folder("run") + "/final_weights.h5"));
  EXPECT_FALSE(fs::exists(run_folder("run") + "/summary.json"));
  expect_failure(run({"evaluate", run_folder("run")}), ExitCode::no_input, {"final_weights.h5"});
}

/// While oneDNN's code runs, the stack pointer may not point to a stack: no handler may run on its thread.
TEST_F(SignalsTest, ManySignalsWhileItComputes) {
  for (int i = 0; i < 3; ++i) {
    const std::string name = "run" + std::to_string(i);
    const auto has_step = [&] { return std::filesystem::exists(run_folder(name) + "/metrics.jsonl"); };
    const ProcessResult result =
        run(train_shipped(
                "mnist_cnn", small_file(),
                into(name, {"training.epochs=1000", "training.batch=2000", "device.convolutions=onednn"})),
            {.started = [&](pid_t process) {
              EXPECT_TRUE(wait_until(has_step));
              for (int k = 0; k < 400; ++k) {
                kill(process, SIGUSR1);
                std::this_thread::sleep_for(std::chrono::microseconds(500));
              }
            }});
    EXPECT_EQ(result.status, 75) << result.err;
    expect_no_other_message(result);
  }
}

TEST_F(SignalsTest, ReaderOfTheOutputThatGoesAway) {
  const Job job{.wrapper = {"sh", "-c", "trap '' PIPE; \"$@\" | head -n 1", "sh"}};
  const ProcessResult result =
      run(train_shipped("mnist_softmax", small_file(), into("run", {"training.epochs=3"})), job);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(json_of(run_folder("run") + "/summary.json")["status"], "finished");
}

}  // namespace
}  // namespace lockstep::testing
