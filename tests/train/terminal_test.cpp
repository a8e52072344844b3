// What a process takes its standard output for, tried with real launchers and real terminals.
#include "train/terminal.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "io/atomic_file.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace lockstep::train {
namespace {

using lockstep::testing::mpirun;
using lockstep::testing::ProcessResult;
using lockstep::testing::run_process;
using lockstep::testing::TemporaryFolder;
using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

const std::string probe = TERMINAL_PROBE;

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Polls until `ready` or ten seconds have gone.
template <class Ready>
bool wait_until(Ready ready) {
  for (int i = 0; i < 500; ++i) {
    if (ready()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string quoted(const Words& words) {
  std::string line;
  for (const std::string& word : words) line += fmt::format("'{}' ", word);
  return line;
}

/// Where the probe speaks; it does not wait, unless a test takes "go" away.
class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override { io::write_file(file("go"), ""); }
  [[nodiscard]] std::string file(const char* name) const { return folder_.file(name); }
  [[nodiscard]] std::string facts() const { return contents(file("facts")); }
  [[nodiscard]] Words the_probe() const { return {probe, folder_.path().string()}; }

 private:
  TemporaryFolder folder_;
};

TEST_F(TerminalTest, PipeIsSilent) {
  const ProcessResult result = run_process(the_probe());
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(facts(), "progress false colour false width 0 isatty false\n");
  EXPECT_THAT(result.out, HasSubstr("1/3"));
  EXPECT_THAT(result.out, Not(HasSubstr("\r")));
}

TEST_F(TerminalTest, MpirunIntoAPipeIsSilent) {
  const ProcessResult result = run_process(mpirun(2, the_probe()));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(facts(), "progress false colour false width 0 isatty true\n")
      << "isatty is what cannot be relied on";
  EXPECT_THAT(result.out, HasSubstr("1/3"));
  EXPECT_THAT(result.out, Not(HasSubstr("step 7/20")));
}

TEST_F(TerminalTest, MpirunIntoAFileIsSilent) {
  const ProcessResult result =
      run_process({"sh", "-c", fmt::format("exec {} >'{}'", quoted(mpirun(2, the_probe())), file("out"))});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(facts(), "progress false colour false width 0 isatty true\n");
  EXPECT_THAT(contents(file("out")), HasSubstr("1/3"));
  EXPECT_THAT(contents(file("out")), Not(HasSubstr("step 7/20")));
}

/// A terminal of 91 columns and 24 lines, in a tmux server of its own.
class Tmux {
 public:
  ~Tmux() { call({"kill-server"}); }
  Tmux() = default;
  Tmux(const Tmux&) = delete;
  Tmux& operator=(const Tmux&) = delete;

  /// Runs a script for the shell; what it printed stays on the screen.
  void start(const std::string& script) const {
    io::write_file(folder_.file("script"), "unset NO_COLOR\n" + script + "\nsleep 60\n");
    const ProcessResult result =
        call({"-f", "/dev/null", "new-session", "-d", "-x", "91", "-y", "24", "sh", folder_.file("script")});
    ASSERT_EQ(result.status, 0) << "tmux does not work; if it is missing, ./launch/test.sh installs it: "
                                << result.err;
  }
  [[nodiscard]] std::string screen() const { return call({"capture-pane", "-p"}).out; }
  [[nodiscard]] bool shows(const std::string& text) const {
    return wait_until([&] { return screen().find(text) != std::string::npos; });
  }

 private:
  ProcessResult call(const Words& words) const {
    Words all{"tmux", "-S", folder_.file("socket")};
    all.insert(all.end(), words.begin(), words.end());
    return run_process(all);
  }
  TemporaryFolder folder_;
};

constexpr const char* live_line = "epoch 1/3  step 7/20";
constexpr const char* row = "1/3   0.50000    75.00%";

class TmuxTest : public TerminalTest {
 protected:
  [[nodiscard]] bool has_facts() const {
    return wait_until([&] { return facts().ends_with('\n'); });
  }
  /// The live line is there within the epoch, and taken away by the row.
  void expect_progress(const std::string& line) {
    std::filesystem::remove(file("go"));
    tmux_.start(line);
    ASSERT_TRUE(has_facts()) << tmux_.screen();
    EXPECT_EQ(facts(), "progress true colour true width 91 isatty true\n");
    EXPECT_TRUE(tmux_.shows(live_line)) << tmux_.screen();
    io::write_file(file("go"), "");
    EXPECT_TRUE(tmux_.shows(row)) << tmux_.screen();
    EXPECT_THAT(tmux_.screen(), Not(HasSubstr(live_line)));
  }
  void expect_silence(const std::string& line) {
    tmux_.start(line);
    ASSERT_TRUE(has_facts()) << tmux_.screen();
    EXPECT_THAT(facts(), HasSubstr("progress false colour false"));
  }
  Tmux tmux_;
};

TEST_F(TmuxTest, TerminalHasProgress) {
  expect_progress(quoted(the_probe()));
}

TEST_F(TmuxTest, MpirunHasProgress) {
  expect_progress(quoted(mpirun(2, the_probe())));
}

TEST_F(TmuxTest, MpirunOfAWrapperHasProgress) {
  expect_progress(quoted(mpirun(2, {"sh", "-c", "\"$@\"; exit $?", "wrapper", probe, file("")})));
}

TEST_F(TmuxTest, TerminalThatHoldsBackTheBackgroundHasProgress) {
  // Ranks are in the background; tmux ignores the signal that would stop them.
  expect_progress("stty tostop; env --default-signal=TTOU " + quoted(mpirun(1, the_probe())));
}

TEST_F(TmuxTest, NarrowTerminalIsRead) {
  tmux_.start("stty cols 33; " + quoted(mpirun(1, the_probe())));
  ASSERT_TRUE(has_facts());
  EXPECT_THAT(facts(), HasSubstr("width 33 "));
}

TEST_F(TmuxTest, NoColorIsHonoured) {
  tmux_.start("NO_COLOR=1 " + quoted(the_probe()));
  ASSERT_TRUE(has_facts());
  EXPECT_THAT(facts(), HasSubstr("progress true colour false"));
}

TEST_F(TmuxTest, EmptyNoColorMeansNothing) {
  tmux_.start("NO_COLOR= " + quoted(the_probe()));
  ASSERT_TRUE(has_facts());
  EXPECT_THAT(facts(), HasSubstr("progress true colour true"));
}

TEST_F(TmuxTest, DumbTerminalIsSilent) {
  expect_silence("TERM=dumb " + quoted(the_probe()));
}

TEST_F(TmuxTest, UnknownKindOfTerminalIsSilent) {
  expect_silence("env -u TERM " + quoted(the_probe()));
}

TEST_F(TmuxTest, RedirectedOutputIsSilent) {
  expect_silence(quoted(the_probe()) + ">/dev/null");
}

TEST_F(TmuxTest, RedirectedMpirunIsSilent) {
  expect_silence(quoted(mpirun(2, the_probe())) + ">'" + file("out") + "'");
}

TEST_F(TmuxTest, PipedMpirunIsSilent) {
  expect_silence(quoted(mpirun(2, the_probe())) + "| cat");
}

TEST_F(TmuxTest, WrapperThatRedirectsIsSilent) {
  expect_silence(quoted(mpirun(1, {"sh", "-c", "\"$@\" >/dev/null; exit $?", "wrapper", probe, file("")})));
}

TEST_F(TmuxTest, MpirunThatMarksLinesIsSilent) {
  expect_silence(quoted(mpirun(2, the_probe(), {"--tag-output"})));
}

TEST_F(TmuxTest, RankWithoutAnMpirunInSightIsSilent) {
  expect_silence("PMIX_RANK=0 " + quoted(the_probe()));
}

TEST(Wants, ExperimentDecidesIfItSaysSo) {
  const Terminal none;
  EXPECT_TRUE(wants_progress(config::Progress::on, none));
  EXPECT_FALSE(wants_progress(config::Progress::off, none));
  EXPECT_FALSE(wants_progress(config::Progress::automatic, none));
  EXPECT_FALSE(wants_colour(none));
  EXPECT_EQ(none.width(), 0);
}

}  // namespace
}  // namespace lockstep::train
