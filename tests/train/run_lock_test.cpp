#include "train/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <string>

#include "base/error.h"
#include "support/temporary_folder.h"
#include "train/machine.h"

namespace lockstep::train {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class RunLockTest : public ::testing::Test {
 protected:
  /// The message of a lock that is not to be had.
  [[nodiscard]] std::string refusal() const {
    try {
      const RunLock lock(folder_.path(), 10ms);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::cannot_create);
      return error.what();
    }
    return "";
  }

  lockstep::testing::TemporaryFolder folder_;
};

TEST_F(RunLockTest, NamesTheProcessThatHasIt) {
  std::optional<RunLock> first(folder_.path());
  const std::string message = refusal();
  EXPECT_THAT(message, HasSubstr(folder_.path().string()));
  EXPECT_THAT(message, HasSubstr("process " + std::to_string(::getpid()) + " on " + this_machine().host));
  first.reset();
  EXPECT_EQ(refusal(), "");
}

TEST_F(RunLockTest, AFileThatWasLeftBehindLocksNothing) {
  std::ofstream(folder_.file("lock")) << "process 1 on elsewhere\n";
  EXPECT_EQ(refusal(), "");
}

TEST_F(RunLockTest, IsGivenBackWhenItsProcessIsKilled) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunLock lock(folder_.path());
    const ssize_t written = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(static_cast<int>(written));
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THAT(refusal(), HasSubstr("process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(), "");
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(RunLockTest, WaitsForOneThatIsAboutToBeGivenBack) {
  const pid_t child = ::fork();
  if (child == 0) {
    const RunLock lock(folder_.path());
    ::usleep(300'000);
    ::_exit(0);
  }
  ::usleep(50'000);
  EXPECT_NO_THROW(RunLock(folder_.path(), 20s));
  ::waitpid(child, nullptr, 0);
}

TEST_F(RunLockTest, FolderThatIsGoneIsNamed) {
  EXPECT_THROW(RunLock(folder_.file("none")), Error);
}

}  // namespace
}  // namespace lockstep::train
