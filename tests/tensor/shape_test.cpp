#include "tensor/shape.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Shape, CountsAndNamesItsExtents) {
  const Shape image = {24, 12, 7};
  EXPECT_EQ(image.rank(), 3U);
  EXPECT_EQ(image[0], 24);
  EXPECT_EQ(image[2], 7);
  EXPECT_EQ(image.count(), 24 * 12 * 7);
  EXPECT_EQ(image.text(), "24×12×7");
}

TEST(Shape, OfOneAxisIsItsExtent) {
  EXPECT_EQ(Shape{10}.text(), "10");
  EXPECT_EQ(Shape{10}.count(), 10);
}

TEST(Shape, WithoutAxesIsAScalar) {
  EXPECT_EQ(Shape().rank(), 0U);
  EXPECT_EQ(Shape().count(), 1);
  EXPECT_EQ(Shape().text(), "scalar");
}

TEST(Shape, WithAnEmptyAxisHoldsNothing) {
  EXPECT_EQ((Shape{0, 28, 28}.count()), 0);
}

TEST(Shape, CountsBeyond32Bits) {
  EXPECT_EQ((Shape{70'000, 70'000}.count()), 4'900'000'000);
}

TEST(Shape, ComparesExtentsInOrder) {
  EXPECT_EQ((Shape{2, 3}), (Shape{std::vector<std::int64_t>{2, 3}}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{6}), (Shape{2, 3}));
  EXPECT_NE((Shape{6}), (Shape{6, 1}));
}

}  // namespace
}  // namespace lockstep
