#include "device/arena.h"

#include <gtest/gtest.h>

#include <random>

namespace lockstep::device {
namespace {

TEST(Arena, shares_places_of_buffers_that_are_never_needed_together) {
  Arena arena;
  const int early = arena.reserve(1000, 0, 1);
  const int late = arena.reserve(1000, 2, 3);
  arena.lay_out();
  EXPECT_EQ(arena.offset(early), arena.offset(late));
  EXPECT_EQ(arena.bytes(), 1024);
}

TEST(Arena, extended_lives_count) {
  Arena arena;
  const int early = arena.reserve(1000, 0, 1);
  const int late = arena.reserve(1000, 2, 3);
  arena.extend(early, 2);
  arena.lay_out();
  EXPECT_NE(arena.offset(early), arena.offset(late));
}

TEST(Arena, never_overlaps_buffers_needed_together) {
  std::mt19937 generator(5);
  for (int round = 0; round < 200; ++round) {
    struct Buffer {
      std::int64_t bytes;
      int first, last, index;
    };
    Arena arena;
    std::vector<Buffer> buffers;
    std::int64_t total = 0;
    for (int i = 0; i < 20; ++i) {
      const auto bytes = static_cast<std::int64_t>(generator() % 5000 + 1);
      const auto first = static_cast<int>(generator() % 10);
      const auto last = first + static_cast<int>(generator() % 5);
      buffers.push_back({bytes, first, last, arena.reserve(bytes, first, last)});
      total += bytes + 63;
    }
    arena.lay_out();
    EXPECT_LE(arena.bytes(), total);
    for (const Buffer& one : buffers) {
      EXPECT_EQ(arena.offset(one.index) % 64, 0);
      EXPECT_LE(arena.offset(one.index) + one.bytes, arena.bytes());
      for (const Buffer& other : buffers) {
        if (one.index >= other.index || one.last < other.first || other.last < one.first) continue;
        const std::int64_t left = arena.offset(one.index);
        const std::int64_t right = arena.offset(other.index);
        EXPECT_TRUE(left + one.bytes <= right || right + other.bytes <= left) << "round " << round;
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::device
