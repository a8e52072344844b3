#include "base/quiet_write.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

#include "io/file_descriptor.h"

namespace lockstep {
namespace {

struct Pipe {
  explicit Pipe(int flags = 0) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | flags) == 0) {
      out.reset(ends[0]);
      in.reset(ends[1]);
    }
  }
  io::FileDescriptor out, in;
};

TEST(QuietWrite, WritesAllEvenIfThePipeIsFullAndNonBlocking) {
  const Pipe pipe(O_NONBLOCK);
  std::string text(300'000, ' ');  // more than a pipe holds
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 23);
  std::string received;
  std::thread reader([&] {
    std::array<char, 4096> block{};
    while (received.size() < text.size()) {
      const ssize_t count = ::read(pipe.out.get(), block.data(), block.size());
      if (count > 0) received.append(block.data(), static_cast<std::size_t>(count));
      if (count < 0) std::this_thread::yield();
    }
  });
  const Written written = quiet_write(pipe.in.get(), text);
  EXPECT_EQ(written.count, text.size());
  EXPECT_EQ(written.error, 0);
  reader.join();
  EXPECT_EQ(received, text);
}

TEST(QuietWrite, LeavesNoSignalBehind) {
  Pipe pipe;
  pipe.out.reset();
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  EXPECT_EQ(quiet_write(pipe.in.get(), "a").error, EPIPE);
  sigset_t pending, mask;
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
  EXPECT_EQ(sigismember(&mask, SIGPIPE), 0);
  std::signal(SIGPIPE, before);
}

TEST(QuietWrite, KeepsASignalThatWasThereBefore) {
  Pipe pipe;
  pipe.out.reset();
  sigset_t blocked, before, pending;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  std::raise(SIGPIPE);
  EXPECT_EQ(quiet_write(pipe.in.get(), "a").error, EPIPE);
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
  const timespec at_once{};
  sigtimedwait(&blocked, nullptr, &at_once);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(QuietWrite, FillsAPipeThatNobodyReadsAndSaysHowFarItCame) {
  for (const int flags : {0, O_NONBLOCK}) {
    const Pipe pipe(flags);
    const auto capacity = static_cast<std::size_t>(::fcntl(pipe.in.get(), F_GETPIPE_SZ));
    const std::string text(capacity + 1, 'x');
    const Written written = quiet_write(pipe.in.get(), text, std::chrono::milliseconds(10));
    EXPECT_EQ(written.count, capacity);
    EXPECT_EQ(written.error, EAGAIN);
  }
}

TEST(QuietWrite, ReturnsTheReason) {
  constexpr int closed = 1'000'000;
  EXPECT_EQ(quiet_write(closed, "a").error, EBADF);
  EXPECT_EQ(quiet_write(closed, "a", std::chrono::milliseconds(0)).error, EBADF);
  EXPECT_EQ(quiet_write(closed, "").error, 0);
}

}  // namespace
}  // namespace lockstep
