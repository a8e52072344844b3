#include "base/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/check.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(Error, FailFormatsItsMessageAndKeepsTheCode) {
  try {
    fail(ExitCode::bad_data, "{}: label {} of row {}", "a.h5", 10, 7);
    FAIL() << "fail() returned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_data);
    EXPECT_STREQ(error.what(), "a.h5: label 10 of row 7");
  }
}

TEST(Error, CodesAreThoseThatScriptsRelyOn) {
  EXPECT_EQ(static_cast<int>(ExitCode::success), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::different), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::usage), 64);
  EXPECT_EQ(static_cast<int>(ExitCode::bad_data), 65);
  EXPECT_EQ(static_cast<int>(ExitCode::no_input), 66);
  EXPECT_EQ(static_cast<int>(ExitCode::no_device), 69);
  EXPECT_EQ(static_cast<int>(ExitCode::internal), 70);
  EXPECT_EQ(static_cast<int>(ExitCode::cannot_create), 73);
  EXPECT_EQ(static_cast<int>(ExitCode::io_error), 74);
  EXPECT_EQ(static_cast<int>(ExitCode::preempted), 75);
  EXPECT_EQ(static_cast<int>(ExitCode::bad_config), 78);
}

TEST(Check, PassesWhatHolds) {
  EXPECT_NO_THROW(check(1 + 1 == 2, "numbers add up"));
}

TEST(Check, NamesTheInvariantAndTheCaller) {
  const int line = __LINE__ + 2;
  try {
    check(1 + 1 == 3, "numbers add up");
    FAIL() << "check() returned";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("error_test.cpp:" + std::to_string(line)));
    EXPECT_THAT(error.what(), HasSubstr("numbers add up"));
  }
}

}  // namespace
}  // namespace lockstep
