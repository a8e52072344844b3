#include "comm/poll_together.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace lockstep::comm {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(PollTogether, ReturnsWhenAllAreDone) {
  World world;
  int calls = 0;
  poll_together(world, "work", milliseconds(60'000), [&] { return ++calls > 3 * world.rank(); });
  EXPECT_EQ(calls, 3 * world.rank() + 1) << "a rank that is done is not asked again";
}

TEST(PollTogether, ThrowsOnAllWhereOneFails) {
  World world;
  const int failing = world.size() - 1;
  try {
    poll_together(world, "work", milliseconds(60'000), [&] {
      if (world.rank() == failing) fail(ExitCode::no_device, "the cable is out");
      return false;  // the others would wait for ever
    });
    FAIL() << "returned";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::no_device);
    EXPECT_THAT(error.what(), HasSubstr("the cable is out"));
  }
}

TEST(PollTogether, GivesUpInTheEnd) {
  World world;
  try {
    poll_together(world, "waiting for rain", milliseconds(30), [&] { return world.rank() != 0; });
    FAIL() << "returned";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("waiting for rain: not done after 30 ms"));
  }
}

}  // namespace
}  // namespace lockstep::comm
