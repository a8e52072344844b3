#include "train/process.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

namespace lockstep::train {
namespace {

TEST(PeakMemory, RemembersWhatWasFreed) {
  constexpr std::int64_t size = 200 << 20;
  const std::int64_t before = peak_memory_bytes();
  EXPECT_GT(before, 1 << 20);
  {
    const auto memory = std::make_unique<char[]>(size);
    std::memset(memory.get(), 1, size);
    const volatile char read = memory[size / 2];
    EXPECT_EQ(read, 1);
  }
  const std::int64_t after = peak_memory_bytes();
  EXPECT_GE(after, before + size * 9 / 10);
  EXPECT_LT(after, before + 2 * size);
}

TEST(ProcessAge, GrowsWithTheClock) {
  const double before = process_age_seconds();
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const double grown = process_age_seconds() - before;
  const double slept = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GE(before, 0);
  EXPECT_GE(grown, 0.049);
  EXPECT_LE(grown, slept + 0.01);
}

}  // namespace
}  // namespace lockstep::train
