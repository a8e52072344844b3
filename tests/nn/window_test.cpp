#include "nn/layers/window.h"

#include <gtest/gtest.h>

#include "models.h"

namespace lockstep::nn {
namespace {

using Kind = config::Padding::Kind;

Window place_on(const Shape& image, config::Extent2 size, config::Extent2 stride,
                const config::Padding& padding) {
  const config::Experiment experiment = testing::experiment_of({testing::conv(1, 1)});
  return place_window(Place(experiment, 0, image), "kernel", size, stride, padding);
}

/// How often a window fits, by moving it.
std::int64_t positions(std::int64_t padded, std::int64_t size, std::int64_t stride) {
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin + size <= padded; begin += stride) ++count;
  return count;
}

/// Calls f(in, size, stride) for many; the other axis is given other numbers by the caller.
template <class F>
void for_many_axes(F&& f) {
  for (std::int64_t in = 1; in <= 13; ++in)
    for (std::int64_t size = 1; size <= 7; ++size)
      for (std::int64_t stride = 1; stride <= 5; ++stride) f(in, size, stride);
}

TEST(Window, ValidFitsAsOftenAsItCanBeMoved) {
  int tried = 0;
  for_many_axes([&](std::int64_t in, std::int64_t size, std::int64_t stride) {
    if (size > in) return;
    ++tried;
    const Window window = place_on({2, in, in + 3}, {size, 2}, {stride, 3}, {});
    ASSERT_EQ(window.height.out, positions(in, size, stride)) << in << ' ' << size << ' ' << stride;
    ASSERT_EQ(window.width.out, positions(in + 3, 2, 3));
    ASSERT_EQ(window.height.pad_before + window.height.pad_after, 0);
  });
  EXPECT_GT(tried, 200);
}

TEST(Window, SameStartsAWindowInEveryStrideWithTheLeastPadding) {
  for_many_axes([](std::int64_t in, std::int64_t size, std::int64_t stride) {
    const Window window = place_on({1, in, in + 1}, {size, size}, {stride, stride}, {.kind = Kind::same});
    for (const WindowAxis& axis : {window.height, window.width}) {
      std::int64_t starts = 0;
      for (std::int64_t cell = 0; cell < axis.in; cell += stride) ++starts;
      ASSERT_EQ(axis.out, starts) << axis.in << ' ' << size << ' ' << stride;

      std::int64_t padding = 0;
      while (positions(axis.in + padding, size, stride) < starts) ++padding;
      ASSERT_EQ(axis.pad_before + axis.pad_after, padding) << axis.in << ' ' << size << ' ' << stride;
      ASSERT_EQ(axis.pad_after - axis.pad_before, padding % 2) << "the odd cell comes after";
      ASSERT_EQ(positions(axis.in + padding, size, stride), starts);
    }
  });
}

// tf.nn.conv2d, padding="SAME": 28 cells, kernel 5, stride 1 and 2; 5 cells, kernel 2.
TEST(Window, SameIsTheRuleOfTensorFlow) {
  const Window stride1 = place_on({1, 28, 5}, {5, 2}, {1, 1}, {.kind = Kind::same});
  EXPECT_EQ(stride1.height.pad_before, 2);
  EXPECT_EQ(stride1.height.pad_after, 2);
  EXPECT_EQ(stride1.width.pad_before, 0);
  EXPECT_EQ(stride1.width.pad_after, 1);
  const Window stride2 = place_on({1, 28, 28}, {5, 5}, {2, 2}, {.kind = Kind::same});
  EXPECT_EQ(stride2.height.out, 14);
  EXPECT_EQ(stride2.height.pad_before, 1);
  EXPECT_EQ(stride2.height.pad_after, 2);
}

TEST(Window, NumbersPadEachSideByItsOwn) {
  for_many_axes([](std::int64_t in, std::int64_t size, std::int64_t stride) {
    for (std::int64_t before = 0; before < size; ++before)
      for (std::int64_t after = 0; after < size; ++after) {
        if (in + before + after < size) continue;
        const config::Padding padding = {Kind::numbers, before, after, 1, 0};
        const Window window = place_on({1, in, 9}, {size, 2}, {stride, 1}, padding);
        ASSERT_EQ(window.height.out, positions(in + before + after, size, stride));
        ASSERT_EQ(window.height.pad_before, before);
        ASSERT_EQ(window.height.pad_after, after);
        ASSERT_EQ(window.width.out, 9);
        ASSERT_EQ(window.width.pad_before, 1);
        ASSERT_EQ(window.width.pad_after, 0);
      }
  });
}

// What pooling relies on: a mean over no cells would be 0 / 0, a maximum over none anything.
TEST(Window, CoversACellOfTheInputWhereverItIs) {
  const auto expect_cells = [](const WindowAxis& axis) {
    for (std::int64_t index = 0; index < axis.out; ++index) {
      const std::int64_t begin = index * axis.stride - axis.pad_before;
      ASSERT_LT(begin, axis.in);
      ASSERT_GT(begin + axis.size, 0);
    }
  };
  for_many_axes([&](std::int64_t in, std::int64_t size, std::int64_t stride) {
    expect_cells(place_on({1, in, in}, {size, size}, {stride, stride}, {.kind = Kind::same}).height);
    const config::Padding most = {Kind::numbers, size - 1, size - 1, size - 1, size - 1};
    expect_cells(place_on({1, in, in}, {size, size}, {stride, stride}, most).width);
  });
}

}  // namespace
}  // namespace lockstep::nn
