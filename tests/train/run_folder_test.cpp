#include "train/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>
#include <exception>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/error.h"
#include "io/atomic_file.h"
#include "support/temporary_folder.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// 2026-02-03 04:05:06 UTC
const auto moment = std::chrono::system_clock::from_time_t(1770091506);

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RunFolderTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string at(const std::string& name) const { return folder_.file(name); }
  [[nodiscard]] config::Output output(const std::string& name = "") const {
    return {.dir = at("runs"), .name = name};
  }

  static void expect_failure(const config::Output& output, ExitCode code,
                             const std::vector<std::string>& parts) {
    try {
      RunFolder::make(output, "mnist", moment);
      FAIL() << "made a folder in " << output.dir;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

 private:
  lockstep::testing::TemporaryFolder folder_;
};

TEST_F(RunFolderTest, IsNamedAfterTheExperimentAndTheTimeInUtc) {
  const char* zone = std::getenv("TZ");
  const std::string before = zone == nullptr ? "" : zone;
  ::setenv("TZ", "Asia/Tokyo", 1);
  const RunFolder folder = RunFolder::make(output(), "mnist", moment);
  if (zone == nullptr)
    ::unsetenv("TZ");
  else
    ::setenv("TZ", before.c_str(), 1);
  EXPECT_EQ(folder.path(), at("runs/mnist-20260203T040506Z"));
  EXPECT_TRUE(fs::is_directory(folder.path()));
}

TEST_F(RunFolderTest, KnowsItsFiles) {
  const RunFolder folder("runs/a");
  EXPECT_EQ(folder.experiment(), "runs/a/experiment.yaml");
  EXPECT_EQ(folder.environment(), "runs/a/environment.json");
  EXPECT_EQ(folder.metrics_csv(), "runs/a/metrics.csv");
  EXPECT_EQ(folder.metrics_jsonl(), "runs/a/metrics.jsonl");
  EXPECT_EQ(folder.final_weights(), "runs/a/final_weights.h5");
  EXPECT_EQ(folder.summary(), "runs/a/summary.json");
}

TEST_F(RunFolderTest, MakesParents) {
  const RunFolder folder = RunFolder::make({.dir = at("a/b/c/"), .name = "d"}, "mnist", moment);
  EXPECT_TRUE(fs::is_directory(at("a/b/c/d")));
  EXPECT_TRUE(fs::equivalent(folder.path(), at("a/b/c/d")));
}

TEST_F(RunFolderTest, NumbersRunsOfTheSameSecond) {
  const std::string first = at("runs/mnist-20260203T040506Z");
  for (const char* suffix : {"", "-2", "-3"})
    EXPECT_EQ(RunFolder::make(output(), "mnist", moment).path(), first + suffix);
  // What is in the way need not be a folder.
  io::write_file(first + "-4", "");
  EXPECT_EQ(RunFolder::make(output(), "mnist", moment).path(), first + "-5");
}

TEST_F(RunFolderTest, RacingProcessesGetFoldersOfTheirOwn) {
  constexpr int processes = 8;
  for (int process = 0; process < processes; ++process) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int made = 0;
      try {
        for (int i = 0; i < 20; ++i) {
          const RunFolder folder = RunFolder::make(output(), "mnist", moment);
          std::ofstream(folder.experiment(), std::ios::app) << "one\n";
          ++made;
        }
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      ::_exit(made);
    }
  }
  for (int process = 0; process < processes; ++process) {
    int status = 0;
    ASSERT_GT(::wait(&status), 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 20);
  }
  int folders = 0;
  for (const auto& entry : fs::directory_iterator(at("runs"))) {
    EXPECT_EQ(contents(entry.path() / "experiment.yaml"), "one\n") << entry.path();
    ++folders;
  }
  EXPECT_EQ(folders, processes * 20);
}

TEST_F(RunFolderTest, NeverReusesANamedFolder) {
  RunFolder::make(output("mine"), "mnist", moment);
  io::write_file(at("runs/mine/metrics.csv"), "kept");
  expect_failure(output("mine"), ExitCode::cannot_create, {at("runs/mine"), "exists already", "output.name"});
  EXPECT_EQ(contents(at("runs/mine/metrics.csv")), "kept");
}

TEST_F(RunFolderTest, FileInTheWayIsNamed) {
  io::write_file(at("runs"), "a file");
  for (const char* name : {"", "mine"})
    expect_failure(output(name), ExitCode::cannot_create,
                   {"Not a directory", "'" + at("runs") + "' is not a folder"});
  expect_failure({.dir = at("runs/deeper/still"), .name = ""}, ExitCode::cannot_create,
                 {at("runs/deeper/still"), "'" + at("runs") + "' is not a folder"});
  EXPECT_EQ(contents(at("runs")), "a file");
}

TEST_F(RunFolderTest, FolderWithoutPermissionIsNamed) {
  constexpr uid_t nobody = 65534;
  ASSERT_EQ(::chmod(at("").c_str(), 0755), 0);
  fs::create_directory(at("runs"));
  ASSERT_EQ(::chmod(at("runs").c_str(), 0555), 0);
  const uid_t user = ::geteuid();
  if (user == 0) {
    ASSERT_EQ(::seteuid(nobody), 0);
  }
  expect_failure(output(), ExitCode::cannot_create, {at("runs/mnist-"), "Permission denied", "output.dir"});
  expect_failure({.dir = at("runs/deeper"), .name = ""}, ExitCode::cannot_create, {"Permission denied"});
  ASSERT_EQ(::seteuid(user), 0);
  ASSERT_EQ(::chmod(at("runs").c_str(), 0755), 0);
}

TEST_F(RunFolderTest, NamesDoNotLeadElsewhere) {
  for (const char* name : {"../elsewhere", "/absolute", ".", "..", "a/b"})
    expect_failure(output(name), ExitCode::bad_config, {name, "output.name"});
  EXPECT_THROW(RunFolder::make(output(), "a/b", moment), Error);
  EXPECT_FALSE(fs::exists(at("elsewhere")));
}

TEST_F(RunFolderTest, TooLongANameIsAnError) {
  expect_failure(output(std::string(300, 'n')), ExitCode::cannot_create, {"File name too long"});
}

TEST_F(RunFolderTest, WritesItsTexts) {
  const RunFolder folder = RunFolder::make(output("a"), "mnist", moment);
  folder.write_experiment("name: mnist\n");
  folder.write_environment("{}\n");
  EXPECT_EQ(contents(folder.experiment()), "name: mnist\n");
  EXPECT_EQ(contents(folder.environment()), "{}\n");
}

TEST_F(RunFolderTest, KeepsTheEnvironmentsOfItsSessions) {
  const RunFolder folder = RunFolder::make(output("a"), "mnist", moment);
  const auto texts = [&folder] {
    std::map<std::int64_t, std::string> found;
    for (const auto& [step, path] : folder.environments()) found[step] = contents(path);
    return found;
  };
  using Texts = std::map<std::int64_t, std::string>;
  folder.write_environment("start");
  constexpr std::int64_t large = 1'000'000'000'000;
  for (const std::int64_t step : {std::int64_t{20}, std::int64_t{120}, large})
    folder.write_environment(std::to_string(step), step);
  EXPECT_EQ(texts(), (Texts{{0, "start"}, {20, "20"}, {120, "120"}, {large, std::to_string(large)}}));
  for (const char* other :
       {"environment-20.json", "environment-.json", "environment-000000000030.json.partial-1"})
    io::write_file(folder.path() + "/" + other, "");
  EXPECT_EQ(texts().size(), 4U);
  folder.write_environment("again", 60);
  EXPECT_EQ(texts(), (Texts{{0, "start"}, {20, "20"}, {60, "again"}}));
  EXPECT_EQ(contents(folder.path() + "/environment-000000000120.json.unused"), "120");
  folder.write_environment("anew");
  EXPECT_EQ(texts(), (Texts{{0, "anew"}}));
}

TEST_F(RunFolderTest, SummaryReadsBackAndIsReplaced) {
  const RunFolder folder = RunFolder::make(output("a"), "mnist", moment);
  metrics::RunSummary summary;
  for (const int epochs : {3, 4}) {
    summary.status = "finished";
    summary.epochs_done = epochs;
    summary.best = metrics::EpochRecord{.epoch = epochs - 1, .epochs = 5, .train_loss = 0.125};
    summary.folder =
        "r\xfc"
        "ns/a";  // Latin-1: no UTF-8
    folder.write_summary(summary);
    const auto json = nlohmann::json::parse(contents(folder.summary()));
    EXPECT_EQ(json["status"], "finished");
    EXPECT_EQ(json["epochs_done"], epochs);
    EXPECT_EQ(json["best"]["epoch"], epochs - 1);
    EXPECT_EQ(json["best"]["train_loss"], 0.125);
    EXPECT_TRUE(json["last"].is_null());
  }
}

TEST_F(RunFolderTest, FullDiskKeepsTheOlderSummary) {
  const RunFolder folder = RunFolder::make(output("a"), "mnist", moment);
  folder.write_summary({});
  const std::string before = contents(folder.summary());

  rlimit unlimited{};
  ::getrlimit(RLIMIT_FSIZE, &unlimited);
  const rlimit limit{.rlim_cur = 10, .rlim_max = unlimited.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::string message;
  ExitCode code = ExitCode::success;
  try {
    metrics::RunSummary other;
    other.status = "finished";
    folder.write_summary(other);
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &unlimited);
  std::signal(SIGXFSZ, handler);

  EXPECT_EQ(code, ExitCode::io_error);
  EXPECT_THAT(message, AllOf(HasSubstr(folder.summary()), HasSubstr("File too large")));
  EXPECT_EQ(contents(folder.summary()), before);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace lockstep::train
