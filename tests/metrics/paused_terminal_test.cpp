// A terminal that takes nothing, paused or not read, does not hold a training up. What fails here waits
// forever: ctest ends it.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/quiet_write.h"
#include "metrics/console.h"
#include "metrics/console_text.h"
#include "metrics/pseudo_terminal.h"
#include "metrics/records.h"
#include "metrics/screen.h"

namespace lockstep::metrics {
namespace {

using namespace std::chrono_literals;
using lockstep::testing::epoch_record;
using lockstep::testing::progress_text;
using lockstep::testing::screen;
using lockstep::testing::step_record;

std::chrono::steady_clock::duration time_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - start;
}

/// A console with a live line, each step of which is due.
class PausedTerminal : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(terminal_.works()); }
  ConsoleOptions options() {
    return {.progress = true, .width = [] { return 100; }, .now = [this] { return now_ += 1; }};
  }

  lockstep::testing::PseudoTerminal terminal_;
  double now_ = 0;
};

TEST_F(PausedTerminal, TakesNothingInTimeFromADescriptorThatBlocks) {
  terminal_.pause();
  for (const auto patience : {0ms, 30ms}) {
    Written written;
    EXPECT_GE(time_of([&] { written = quiet_write(terminal_.device(), "row\n", patience); }), patience);
    EXPECT_EQ(written.count, 0U);
    EXPECT_EQ(written.error, EAGAIN);
  }
  EXPECT_EQ(terminal_.read(), "");
}

TEST_F(PausedTerminal, IsWaitedForWithoutALimitIfNoneIsGiven) {
  terminal_.pause();
  Written written;
  std::jthread writer([&] { written = quiet_write(terminal_.device(), "row\n"); });
  EXPECT_EQ(terminal_.read(), "");
  terminal_.resume();
  writer.join();
  EXPECT_EQ(written.count, 4U);
  EXPECT_EQ(written.error, 0);
  EXPECT_EQ(terminal_.read(), "row\n");
}

TEST_F(PausedTerminal, OpenedOnceMoreNeverBlocksAndLeavesTheOtherAsItWas) {
  const io::FileDescriptor opened(without_blocking(terminal_.device()));
  ASSERT_TRUE(opened);
  EXPECT_EQ(::fcntl(terminal_.device(), F_GETFL) & O_NONBLOCK, 0);
  // Nobody reads: in the end there is room for a part of a piece, where poll() alone does not help.
  const std::string text(1 << 20, 'x');
  const Written written = quiet_write(opened.get(), text, 20ms);
  EXPECT_EQ(written.error, EAGAIN);
  EXPECT_GT(written.count, 0U);
  EXPECT_LT(written.count, text.size());
  EXPECT_EQ(terminal_.read().size(), written.count);
  EXPECT_EQ(without_blocking(io::FileDescriptor(::open("/dev/null", O_WRONLY | O_CLOEXEC)).get()), -1);
}

TEST_F(PausedTerminal, LosesTheLiveLineAndNoRow) {
  Console console(terminal_.device(), options());
  console.step(step_record(1, 1));
  const std::string before = terminal_.read();
  terminal_.pause();
  for (int step = 2; step < 1000; ++step) console.step(step_record(1, step));
  console.epoch(epoch_record(1, false));
  console.step(step_record(2, 1));
  console.epoch(epoch_record(2, false));
  EXPECT_EQ(terminal_.read(), "");
  terminal_.resume();
  console.step(step_record(3, 7));
  EXPECT_EQ(screen(before + terminal_.read(), 100),
            screen(heads_text(false, false) + row_text(epoch_record(1, false), false) +
                       row_text(epoch_record(2, false), false) + progress_text(step_record(3, 7), 99),
                   100));
}

TEST_F(PausedTerminal, ThatNobodyReadsGetsAllRowsWhenSomebodyDoes) {
  constexpr int epochs = 2000;  // far more than a terminal holds
  std::string expected = heads_text(false, false);
  Console console(terminal_.device(), options());
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    console.step(step_record(epoch, epoch));
    console.epoch(epoch_record(epoch, false));
    expected += row_text(epoch_record(epoch, false), false);
  }
  const StepRecord last = step_record(epochs + 1, 1);
  const std::string live = progress_text(last, 99);
  expected += live;
  std::string printed = terminal_.read();
  while (printed.find(live) == std::string::npos) {
    console.step(last);
    printed += terminal_.read();
  }
  EXPECT_EQ(screen(printed, 100), screen(expected, 100));
}

TEST_F(PausedTerminal, IsGivenUpAtTheEnd) {
  terminal_.pause();
  const auto time = time_of([&] {
    Console console(terminal_.device(), options());
    console.begin({});
    console.epoch(epoch_record(1, false));
    console.end({});
  });
  EXPECT_GE(time, 2s);
  EXPECT_LT(time, 4s) << "once, not at every text";
}

// As under mpirun into a file.
TEST_F(PausedTerminal, ThatIsNoneInTruthIsWaitedFor) {
  terminal_.pause();
  ConsoleOptions options = this->options();
  options.is_terminal = false;
  std::atomic<bool> trains_on = false;
  std::jthread training([&] {
    Console console(terminal_.device(), options);
    console.epoch(epoch_record(1, false));
    trains_on = true;
  });
  EXPECT_EQ(terminal_.read(), "");
  EXPECT_FALSE(trains_on);
  terminal_.resume();
  training.join();
  EXPECT_EQ(terminal_.read(), heads_text(false, false) + row_text(epoch_record(1, false), false));
}

// What a paused terminal does not take of a warning is lost, so that the training goes on.
TEST_F(PausedTerminal, HoldsNoWarningUp) {
  const io::FileDescriptor before(::dup(STDERR_FILENO));
  ASSERT_EQ(::dup2(terminal_.device(), STDERR_FILENO), STDERR_FILENO);
  terminal_.pause();
  const auto time = time_of([] { log::warning("slow"); });
  ::dup2(before.get(), STDERR_FILENO);
  EXPECT_GE(time, 1s);
  terminal_.resume();
  EXPECT_EQ(terminal_.read(), "");
}

TEST(FullPipe, LosesTheLiveLineAndNoRow) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const io::FileDescriptor out(ends[0]), in(ends[1]);
  double now = 0;
  Console console(in.get(),
                  {.progress = true, .width = [] { return 100; }, .now = [&now] { return now += 1; }});
  for (int step = 1; step < 2000; ++step) console.step(step_record(1, step));  // more than a pipe holds

  std::string printed;
  std::jthread reader([&] {
    std::array<char, 4096> block{};
    while (!printed.ends_with('\n')) {
      const ssize_t count = ::read(out.get(), block.data(), block.size());
      if (count <= 0) return;
      printed.append(block.data(), static_cast<std::size_t>(count));
    }
  });
  console.epoch(epoch_record(1, false));  // waits for the reader
  reader.join();
  EXPECT_EQ(screen(printed, 100),
            screen(heads_text(false, false) + row_text(epoch_record(1, false), false), 100));
}

}  // namespace
}  // namespace lockstep::metrics
