#include "train/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace lockstep::train {
namespace {

void restore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_DFL);
}

// One test for all of it: the flag, once set, stays so for the life of the process.
TEST(Signals, OnlySetAFlag) {
  ignore_write_signals();
  watch_stop_signals();
  EXPECT_FALSE(stop_was_requested());

  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  close(ends[0]);
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE) << "a closed pipe is an error, not the end of the process";
  close(ends[1]);
  std::raise(SIGXFSZ);
  EXPECT_FALSE(stop_was_requested());

  EXPECT_EXIT(
      {
        std::raise(SIGINT);
        if (!stop_was_requested()) std::_Exit(1);
        std::raise(SIGUSR1);  // asks for no more than the first did
        std::raise(SIGTERM);
        std::_Exit(2);
      },
      ::testing::KilledBySignal(SIGTERM), "")
      << "whoever cannot wait asks twice";
  std::raise(SIGUSR1);
  EXPECT_TRUE(stop_was_requested());
  restore_signals();
}

}  // namespace
}  // namespace lockstep::train
