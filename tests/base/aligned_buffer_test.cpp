#include "base/aligned_buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

namespace lockstep {
namespace {

TEST(AlignedBuffer, StartsOnACacheLineWhateverItsSize) {
  for (std::size_t count = 1; count < 200; count += 7) {
    const AlignedBuffer<float> buffer(count);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U) << count;
    EXPECT_EQ(buffer.span().size(), count);
    buffer[count - 1] = 1.0F;  // the last element is the buffer's own (address sanitizer)
  }
}

TEST(AlignedBuffer, MovesItsMemory) {
  AlignedBuffer<int> from(3);
  from[2] = 42;
  const int* const memory = from.data();
  const AlignedBuffer<int> to = std::move(from);
  EXPECT_EQ(to.data(), memory);
  EXPECT_EQ(to[2], 42);
}

TEST(AlignedBuffer, OfNothingHoldsNothing) {
  EXPECT_EQ(AlignedBuffer<double>(0).data(), nullptr);
  EXPECT_EQ(AlignedBuffer<double>().size(), 0U);
}

}  // namespace
}  // namespace lockstep
