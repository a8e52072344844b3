#include "train/signals.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace lockstep::train {
namespace {

void restore_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_DFL);
}

// One test for all of it: the flag, once set, stays so for the life of the process.
TEST(Signals, OnlySetAFlag) {
  watch_signals();
  EXPECT_FALSE(stop_was_requested());

  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  close(ends[0]);
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE) << "a closed pipe is an error, not the end of the process";
  close(ends[1]);
  std::raise(SIGXFSZ);
  EXPECT_FALSE(stop_was_requested());

  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    std::raise(signal);
    EXPECT_TRUE(stop_was_requested());
  }
  restore_signals();
}

}  // namespace
}  // namespace lockstep::train
