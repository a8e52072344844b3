#include "metrics/console.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

#include "io/file_descriptor.h"
#include "metrics/console_text.h"
#include "metrics/records.h"
#include "metrics/screen.h"
#include "support/temporary_folder.h"

namespace lockstep::metrics {
namespace {

using ::lockstep::testing::epoch_record;
using lockstep::testing::progress_text;
using ::lockstep::testing::screen;
using ::lockstep::testing::step_record;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Captures what a console prints, with a clock and a width that the test sets.
class ConsoleTest : public ::testing::Test {
 protected:
  ConsoleOptions options(bool progress) {
    return {.progress = progress, .width = [this] { return width_; }, .now = [this] { return now_; }};
  }
  [[nodiscard]] int output() const { return output_.get(); }
  [[nodiscard]] std::string printed() const {
    std::ifstream file(folder_.file("out"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// How often a line was drawn.
  [[nodiscard]] std::ptrdiff_t updates() const {
    const std::string text = printed();
    std::ptrdiff_t count = 0;
    for (std::size_t at = text.find("\repoch"); at != std::string::npos; at = text.find("\repoch", at + 1))
      ++count;
    return count;
  }

  double now_ = 1000;
  int width_ = 100;

 private:
  lockstep::testing::TemporaryFolder folder_;
  io::FileDescriptor output_{
      ::open(folder_.file("out").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
};

RunHeader header_with_validation() {
  RunHeader header;
  header.val_samples = 10;
  return header;
}

TEST_F(ConsoleTest, PrintsTheHeadsOnce) {
  Console console(output(), options(false));
  console.begin(header_with_validation());
  const std::string header = printed();
  console.epoch(epoch_record(1));
  console.epoch(epoch_record(2));
  EXPECT_EQ(printed(), header + heads_text(true, false) + row_text(epoch_record(1), true) +
                           row_text(epoch_record(2), true));
}

TEST_F(ConsoleTest, DrawsNothingWithinAnEpochWithoutProgress) {
  Console console(output(), options(false));
  for (int step = 0; step < 100; ++step, now_ += 1) console.step(step_record(1, step));
  EXPECT_EQ(printed(), "");
}

TEST_F(ConsoleTest, DrawsAtMostTenTimesASecond) {
  Console console(output(), options(true));
  // 7 ms a step for 2.8 s; 100 ms are over at steps 0, 15, 30, …: 27 updates, across the end of an epoch too.
  for (int step = 0; step < 400; ++step, now_ += 0.007) {
    if (step == 100) console.epoch(epoch_record(1));
    console.step(step_record(1 + step / 100, step));
  }
  EXPECT_EQ(updates(), 27);
  EXPECT_LE(static_cast<double>(updates()), 1 + 2.8 * 10);
}

TEST_F(ConsoleTest, ShowsTheLatestStepAlone) {
  width_ = 85;  // too narrow for a bar, which would make all lines as long
  Console console(output(), options(true));
  StepRecord early = step_record(1, 3);
  early.loss = 1e6;  // a longer line, of which nothing may stay
  console.step(early);
  now_ += 0.2;
  console.step(step_record(1, 321));
  ASSERT_GT(progress_text(early, 84).size(), progress_text(step_record(1, 321), 84).size());
  EXPECT_THAT(screen(printed(), 85), ElementsAre(progress_text(step_record(1, 321), 84)));
}

TEST_F(ConsoleTest, TakesTheLineAwayBeforeARow) {
  {
    Console console(output(), options(true));
    console.step(step_record(1, 3));
    console.epoch(epoch_record(1, false));
    now_ += 1;
    console.step(step_record(2, 4));
    RunSummary summary;
    summary.status = "finished";
    console.end(summary);
  }
  RunSummary summary;
  summary.status = "finished";
  EXPECT_EQ(screen(printed(), 100),
            screen(heads_text(false, false) + row_text(epoch_record(1, false), false) +
                       summary_text(summary, false),
                   100));
}

TEST_F(ConsoleTest, TakesTheLineAwayWhenItEndsEarly) {
  {
    Console(output(), options(true)).step(step_record(1, 3));
  }
  EXPECT_THAT(screen(printed(), 100), ElementsAre(""));
}

TEST_F(ConsoleTest, NeverFillsALine) {
  Console console(output(), options(true));
  for (width_ = 1; width_ < 140; ++width_, now_ += 1) {
    console.step(step_record(1, width_));
    EXPECT_EQ(screen(printed(), 1000).size(), 1U);
  }
  width_ = 30;
  console.epoch(epoch_record(1, false));
  EXPECT_THAT(screen(printed(), 1000).back(), "");
}

TEST_F(ConsoleTest, FollowsTheWidth) {
  Console console(output(), options(true));
  width_ = 40;
  console.step(step_record(1, 3));
  EXPECT_EQ(screen(printed(), 40), std::vector{progress_text(step_record(1, 3), 39)});
  width_ = 0;  // unknown: 80
  now_ += 1;
  console.step(step_record(1, 3));
  EXPECT_EQ(screen(printed(), 80), std::vector{progress_text(step_record(1, 3), 79)});
}

TEST_F(ConsoleTest, NarrowedTerminalIsBlankedNoFurtherThanItsWidth) {
  Console console(output(), options(true));
  console.step(step_record(1, 3));
  const std::size_t before = printed().size();
  width_ = 20;
  console.epoch(epoch_record(1, false));
  EXPECT_EQ(printed().substr(before, 21), "\r" + std::string(19, ' ') + "\r");
}

TEST_F(ConsoleTest, SurvivesAFullDisk) {
  const io::FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  ::testing::internal::CaptureStderr();
  {
    Console console(full.get(), options(true));
    console.begin(header_with_validation());
    console.step(step_record(1, 1));
    console.epoch(epoch_record(1));
    console.end({});
  }
  const std::string message = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(message, HasSubstr("No space left on device"));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << "reported once";
}

TEST_F(ConsoleTest, SurvivesAReaderThatLeft) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const io::FileDescriptor in(ends[1]);
  ::close(ends[0]);
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  ::testing::internal::CaptureStderr();
  {
    Console console(in.get(), options(false));
    for (int epoch = 1; epoch < 4; ++epoch) console.epoch(epoch_record(epoch));
  }
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("Broken pipe"));
  std::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace lockstep::metrics
