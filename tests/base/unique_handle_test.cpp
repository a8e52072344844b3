#include "base/unique_handle.h"

#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

namespace lockstep {
namespace {

std::vector<int> closed;

struct Traits {
  using Type = int;
  static int null() { return -1; }
  static void close(int handle) noexcept { closed.push_back(handle); }
};
using Handle = UniqueHandle<Traits>;

class UniqueHandleTest : public ::testing::Test {
 protected:
  void SetUp() override { closed.clear(); }
};

static_assert(!std::is_copy_constructible_v<Handle> && !std::is_copy_assignable_v<Handle>);
static_assert(std::is_nothrow_move_constructible_v<Handle> && std::is_nothrow_move_assignable_v<Handle>);

TEST_F(UniqueHandleTest, ClosesOnceAtTheEnd) {
  {
    const Handle handle(0);  // 0 is a handle like any other: null() says what is none
    EXPECT_TRUE(static_cast<bool>(handle));
    EXPECT_EQ(handle.get(), 0);
    EXPECT_TRUE(closed.empty());
  }
  EXPECT_EQ(closed, std::vector<int>{0});
}

TEST_F(UniqueHandleTest, NeverClosesNull) {
  {
    const Handle empty;
    const Handle null(-1);
    EXPECT_FALSE(static_cast<bool>(empty));
    EXPECT_FALSE(static_cast<bool>(null));
  }
  EXPECT_TRUE(closed.empty());
}

TEST_F(UniqueHandleTest, MovingPassesTheHandleOn) {
  {
    Handle first(1);
    Handle second = std::move(first);
    EXPECT_FALSE(
        static_cast<bool>(first));  // NOLINT(bugprone-use-after-move): what a move leaves is the point
    Handle third(3);
    third = std::move(second);
    EXPECT_EQ(closed, std::vector<int>{3});
    EXPECT_EQ(third.get(), 1);
  }
  EXPECT_EQ(closed, (std::vector<int>{3, 1}));
}

TEST_F(UniqueHandleTest, AssigningToItselfKeepsTheHandle) {
  Handle handle(4);
  Handle& same = handle;
  handle = std::move(same);
  EXPECT_EQ(handle.get(), 4);
  EXPECT_TRUE(closed.empty());
}

TEST_F(UniqueHandleTest, ReleaseGivesUpOwnership) {
  {
    Handle handle(5);
    EXPECT_EQ(handle.release(), 5);
    EXPECT_FALSE(static_cast<bool>(handle));
  }
  EXPECT_TRUE(closed.empty());
}

TEST_F(UniqueHandleTest, ResetClosesTheOldHandle) {
  {
    Handle handle(6);
    handle.reset(7);
    EXPECT_EQ(closed, std::vector<int>{6});
    handle.reset();
    EXPECT_EQ(closed, (std::vector<int>{6, 7}));
  }
  EXPECT_EQ(closed.size(), 2U);
}

}  // namespace
}  // namespace lockstep
