#include "base/partition.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Partition, PiecesFollowEachOtherAndCoverEverything) {
  for (std::int64_t total = 0; total < 150; ++total)
    for (std::int64_t pieces = 1; pieces < 40; ++pieces) {
      std::int64_t next = 0;
      for (std::int64_t index = 0; index < pieces; ++index) {
        const Range range = piece(total, pieces, index);
        ASSERT_EQ(range.begin, next) << total << '/' << pieces << '/' << index;
        ASSERT_GE(range.size(), total / pieces);
        ASSERT_LE(range.size(), total / pieces + 1);
        next = range.end;
      }
      ASSERT_EQ(next, total) << pieces;
    }
}

TEST(Partition, PieceContainingIsTheInverse) {
  for (std::int64_t total = 1; total < 150; ++total)
    for (std::int64_t pieces = 1; pieces < 40; ++pieces)
      for (std::int64_t position = 0; position < total; ++position) {
        const std::int64_t index = piece_containing(total, pieces, position);
        ASSERT_TRUE(0 <= index && index < pieces);
        ASSERT_TRUE(piece(total, pieces, index).contains(position))
            << total << '/' << pieces << '/' << position;
      }
}

TEST(Partition, HoldsForSetsOfBillions) {
  constexpr std::int64_t total = 5'000'000'011;
  constexpr std::int64_t pieces = 4096;
  for (const std::int64_t position : {std::int64_t{0}, total / 3, total - 1}) {
    const std::int64_t index = piece_containing(total, pieces, position);
    EXPECT_TRUE(piece(total, pieces, index).contains(position));
  }
  EXPECT_EQ(piece(total, pieces, pieces - 1).end, total);
}

// Why ranks can be given consecutive shards: half as many pieces are the same cuts, every other one left out.
TEST(Partition, PairsOfPiecesAreThePiecesOfHalfAsMany) {
  for (std::int64_t total = 0; total < 100; ++total)
    for (std::int64_t pieces = 1; pieces <= 16; ++pieces)
      for (std::int64_t index = 0; index < pieces; ++index) {
        const Range pair = {piece(total, 2 * pieces, 2 * index).begin,
                            piece(total, 2 * pieces, 2 * index + 1).end};
        ASSERT_EQ(pair, piece(total, pieces, index));
      }
}

TEST(Range, IsHalfOpen) {
  constexpr Range range = {3, 5};
  EXPECT_EQ(range.size(), 2);
  EXPECT_FALSE(range.contains(2));
  EXPECT_TRUE(range.contains(3));
  EXPECT_TRUE(range.contains(4));
  EXPECT_FALSE(range.contains(5));
  EXPECT_FALSE(range.empty());
  EXPECT_TRUE((Range{5, 5}.empty()));
}

}  // namespace
}  // namespace lockstep
