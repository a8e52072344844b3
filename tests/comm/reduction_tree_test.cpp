#include "comm/reduction_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/collective.h"
#include "tensor/parameters.h"
#include "tree_reference.h"

namespace lockstep::comm {

void PrintTo(const Subtree& tree, std::ostream* out) {
  *out << "{" << tree.first << ", " << tree.count << "}";
}

namespace {

using ::testing::ElementsAre;

TEST(Subtrees, AreTheBinaryCounterOfARun) {
  EXPECT_THAT(subtrees({0, 8}, 8), ElementsAre(Subtree{0, 8}));
  EXPECT_THAT(subtrees({0, 7}, 8), ElementsAre(Subtree{0, 4}, Subtree{4, 2}, Subtree{6, 1}));
  EXPECT_THAT(subtrees({1, 8}, 8), ElementsAre(Subtree{1, 1}, Subtree{2, 2}, Subtree{4, 4}));
  EXPECT_THAT(subtrees({2, 5}, 8), ElementsAre(Subtree{2, 2}, Subtree{4, 1}));
  EXPECT_THAT(subtrees({3, 3}, 8), ElementsAre());
  EXPECT_THAT(subtrees({0, 1}, 1), ElementsAre(Subtree{0, 1}));
}

TEST(Subtrees, OfEveryRunCoverItAndAreMaximal) {
  constexpr std::int64_t total = 64;
  for (std::int64_t begin = 0; begin <= total; ++begin)
    for (std::int64_t end = begin; end <= total; ++end) {
      const std::vector<Subtree> trees = subtrees({begin, end}, total);
      std::int64_t next = begin;
      for (const Subtree tree : trees) {
        EXPECT_EQ(tree.first, next);
        EXPECT_EQ(tree.first % tree.count, 0);
        EXPECT_TRUE(std::has_single_bit(static_cast<std::uint64_t>(tree.count)));
        const Subtree parent = tree.parent();
        EXPECT_TRUE(tree.count == total || parent.first < begin || parent.first + parent.count > end);
        next += tree.count;
      }
      EXPECT_EQ(next, end);
    }
}

TEST(Subtrees, RefuseWhatIsNoTree) {
  EXPECT_THROW(subtrees({0, 3}, 6), Error);
  EXPECT_THROW(subtrees({0, 9}, 8), Error);
  EXPECT_THROW(subtrees({-1, 2}, 8), Error);
}

/// A sum that remembers how it was made.
struct Term {
  std::string text;
  Term& operator+=(const Term& other) {
    text = "(" + text + "+" + other.text + ")";
    return *this;
  }
};

TEST(TreeSum, AddsPairByPair) {
  EXPECT_EQ(tree_sum(std::vector<Term>{{"a"}}).text, "a");
  EXPECT_EQ(tree_sum(std::vector<Term>{{"a"}, {"b"}, {"c"}, {"d"}}).text, "((a+b)+(c+d))");
  EXPECT_EQ(tree_sum(std::vector<Term>{{"0"}, {"1"}, {"2"}, {"3"}, {"4"}, {"5"}, {"6"}, {"7"}}).text,
            "(((0+1)+(2+3))+((4+5)+(6+7)))");
}

TEST(TreeSum, HasTheOrderOfTheGradients) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    const testing::Step step{seed, static_cast<std::int64_t>(1 + seed % 211), std::int64_t{1} << seed % 7};
    std::vector<double> losses;
    for (std::int64_t shard = 0; shard < step.shards; ++shard)
      losses.push_back(testing::shard_loss(step, shard));
    ASSERT_EQ(tree_sum(losses), testing::reference_loss(step))
        << step.samples << " samples, " << step.shards << " shards";
  }
}

TEST(Layout, SlicesAreWholeBlocksThatFollowOneAnother) {
  for (const std::int64_t blocks : {1, 2, 5, 8, 419})
    for (int ranks = 1; ranks <= 9; ++ranks) {
      std::int64_t next = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const Range slice = slice_of_rank(blocks * Parameters::block, ranks, rank);
        EXPECT_EQ(slice.begin, next);
        EXPECT_EQ(slice.begin % Parameters::block, 0);
        EXPECT_LE(slice.size(), (blocks + ranks - 1) / ranks * Parameters::block);
        next = slice.end;
      }
      EXPECT_EQ(next, blocks * Parameters::block);
    }
  EXPECT_THROW(slice_of_rank(1000, 2, 0), Error);
}

TEST(Layout, MovesTheBytesOfARingWhereRanksOwnOneSubtree) {
  constexpr std::int64_t slab = 840 * Parameters::block;  // divisible by 2, 3, 4 and 8
  constexpr std::int64_t bytes = slab * 4;
  EXPECT_EQ(bytes_per_step(slab, 8, 1, 0), 0);
  for (const int ranks : {2, 4, 8})
    for (int rank = 0; rank < ranks; ++rank)
      EXPECT_EQ(bytes_per_step(slab, 8, ranks, rank), 2 * bytes * (ranks - 1) / ranks);
  EXPECT_EQ(bytes_per_step(slab, 8, 3, 0), bytes * 4 / 3);  // shards 0 and 1: one subtree, as a ring
  EXPECT_EQ(bytes_per_step(slab, 8, 3, 1), bytes * 2);      // shards 2 to 4: two subtrees
}

}  // namespace
}  // namespace lockstep::comm
