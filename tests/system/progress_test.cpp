// What a person sees of a training: a live line in a terminal, and nothing that moves anywhere else.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tmux.h"
#include "system/run_files.h"
#include "system/system_test.h"

namespace lockstep::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class ProgressTest : public SystemTest, public ::testing::WithParamInterface<int> {
 protected:
  [[nodiscard]] Words train(const std::string& experiment, const std::string& epochs) const {
    return train_shipped(experiment, small_file(), into("run", {"training.epochs=" + epochs}));
  }
};

TEST_P(ProgressTest, TerminalShowsALineThatIsGoneAtTheEnd) {
  const Job job{.ranks = GetParam()};
  std::string script;
  for (const auto& [name, value] : environment(job))
    script += value.empty() ? fmt::format("unset {}\n", name) : fmt::format("export {}='{}'\n", name, value);
  const Tmux tmux(script + quoted(command(train("mnist_cnn", "2"), job)) + "\necho status $?\n");
  EXPECT_TRUE(wait_until([&] {
    const std::string screen = tmux.screen();
    return screen.find("  step ") != std::string::npos && screen.find(" left\n") != std::string::npos;
  })) << tmux.screen();
  ASSERT_TRUE(wait_until([&] { return tmux.screen().find("status 0") != std::string::npos; }))
      << tmux.screen();
  EXPECT_THAT(tmux.screen(),
              AllOf(HasSubstr("      2/2 "), HasSubstr("finished after 2 epochs"), Not(HasSubstr(" left"))));
}

TEST_P(ProgressTest, PipeGetsRowsOnly) {
  const ProcessResult result = run(train("mnist_softmax", "3"), {.ranks = GetParam()});
  expect_success(result);
  EXPECT_THAT(result.out, AllOf(HasSubstr("\n      3/3 "), Not(HasSubstr("\r")), Not(HasSubstr("\x1b")),
                                Not(HasSubstr(" left"))));
}

TEST_P(ProgressTest, FileGetsRowsOnly) {
  const Job job{.ranks = GetParam()};
  const ProcessResult result =
      run_process({"sh", "-c", quoted(command(train("mnist_softmax", "3"), job)) + " >" + file("output")},
                  {.environment = environment(job)});
  expect_success(result);
  EXPECT_THAT(contents(file("output")), AllOf(HasSubstr("\n      3/3 "), Not(HasSubstr("\r")),
                                              Not(HasSubstr("\x1b")), Not(HasSubstr(" left"))));
}

TEST_P(ProgressTest, ProfileSaysWhereTheTimeWentAndChangesNothing) {
  Words profiled = train("smoke", "1");
  profiled.insert(profiled.begin() + 1, "--profile");
  profiled.push_back("device.threads=1");  // shared by two, a microsecond's work may be half of one: 0.000
  const ProcessResult result = run(profiled, {.ranks = GetParam()});
  expect_success(result);
  EXPECT_THAT(result.out, AllOf(HasSubstr("profile: milliseconds a step"), HasSubstr("\n     0       0 "),
                                ContainsRegex("\n  loss +[0-9.]+ +0.000\n"), HasSubstr("  digest ")));
  // Each kind of work has taken time: pack, forward, backward, add, check, fetch.
  EXPECT_THAT(result.out, ContainsRegex("\n +0 +0 +[0-9.]+( +[0-9.]*[1-9][0-9.]*){6} +[0-9.]+ "));
  EXPECT_EQ(result.out.find("\n     1       0 ") != std::string::npos, GetParam() == 2);
  const ProcessResult plain =
      run(train_shipped("smoke", small_file(), into("plain", {"training.epochs=1"})), {.ranks = GetParam()});
  expect_success(plain);
  EXPECT_THAT(plain.out, Not(HasSubstr("profile")));
  const auto digest = [](const std::string& out) { return out.substr(out.find("  digest ")); };
  EXPECT_EQ(digest(result.out), digest(plain.out));
}

INSTANTIATE_TEST_SUITE_P(Ranks, ProgressTest, ::testing::Values(1, 2));

}  // namespace
}  // namespace lockstep::testing
