#include "support/allocation_watch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>
#include <vector>

namespace lockstep::testing {
namespace {

/// Keeps the compiler from leaving out an allocation that nobody needs.
[[maybe_unused]] const void* volatile seen = nullptr;
void use(const void* memory) {
  seen = memory;
}

TEST(AllocationWatch, FindsWhatLockstepAsksFor) {
  const volatile std::size_t many = 100;
  start_watching();
  EXPECT_EQ(stop_watching().own, 0);

  start_watching();
  use(std::vector<int>(many).data());
  const Allocations direct = stop_watching();
  EXPECT_EQ(direct.own, 1) << direct.first_own;

  start_watching();
  use(fmt::format("{:>{}}", "x", std::size_t{many}).data());
  EXPECT_GE(stop_watching().own, 1) << "it asks for memory in a library's code";

  start_watching();
  std::thread([&] { use(std::vector<int>(many).data()); }).join();
  EXPECT_GE(stop_watching().own, 2) << "the thread's state, and what the thread asks for";

  start_watching();
  void* aligned = std::aligned_alloc(64, 64 * many);
  void* cleared = std::calloc(many, many);
  use(aligned);
  use(cleared);
  EXPECT_EQ(stop_watching().own, 2);
  std::free(aligned);
  std::free(cleared);
}

}  // namespace
}  // namespace lockstep::testing
