#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/error.h"
#include "comm/collective.h"
#include "support/allocation_watch.h"
#include "tree_reference.h"

namespace lockstep::comm {
namespace {

/// The partial sums that `ranks` ranks would bring, of all of the slab.
struct Partials {
  std::vector<std::vector<float>> memory;
  std::vector<SlicePartial> parts;

  Partials(const testing::Step& step, int ranks, std::int64_t size) {
    for (int rank = 0; rank < ranks; ++rank)
      for (const Subtree tree : subtrees(shards_of_rank(step.shards, ranks, rank), step.shards)) {
        memory.push_back(sum(step, tree, size));
        parts.push_back({tree, memory.back().data()});  // moving a vector keeps its memory
      }
  }

 private:
  static std::vector<float> sum(const testing::Step& step, Subtree tree, std::int64_t size) {
    std::vector<float> result(static_cast<std::size_t>(size));
    if (tree.count == 1) {
      testing::fill_gradient(step, tree.first, result);
      return result;
    }
    const std::int64_t half = tree.count / 2;
    const std::vector<float> left = sum(step, {tree.first, half}, size);
    const std::vector<float> right = sum(step, {tree.first + half, half}, size);
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = left[i] + right[i];
    return result;
  }
};

TEST(FinishTree, GivesTheSameBitsForAnyRanksRangesAndSamples) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    const std::int64_t shards = std::int64_t{1} << (random() % 7);
    const int ranks =
        1 + static_cast<int>(random() % static_cast<std::uint64_t>(std::min<std::int64_t>(shards, 9)));
    const std::int64_t size = 1 + static_cast<std::int64_t>(random() % (round % 10 == 0 ? 3000 : 200));
    const auto samples =
        static_cast<std::int64_t>(round % 2 == 0 ? std::uint64_t{1} << (random() % 8) : 1 + random() % 150);
    const testing::Step step{static_cast<std::uint64_t>(round), samples, shards};
    const std::vector<float> reference = testing::reference_mean(step, {0, size});
    const Partials partials(step, ranks, size);
    std::vector<float> result(reference.size());
    for (std::int64_t first = 0; first < size;) {  // in ranges of any length
      const std::int64_t count =
          std::min<std::int64_t>(size - first, 1 + static_cast<std::int64_t>(random() % 2000));
      finish_tree(
          partials.parts, shards, first, static_cast<float>(samples),
          std::span(result).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
      first += count;
    }
    ASSERT_EQ(testing::first_difference(result, reference), -1)
        << shards << " shards, " << ranks << " ranks, " << size << " floats, " << samples << " samples";
  }
}

TEST(AddUp, GivesTheSumOfASubtreeWhicheverRanksMakeItUp) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const testing::Step step{seed, 40, 16};
    const Partials whole(step, 1, 1500);
    const Partials quarters(step, 4, 1500);
    std::vector<float> sum(1498);  // all but the first and the last float
    for (int ranks = 1; ranks <= 16; ++ranks) {
      const Partials partials(step, ranks, 1500);
      add_up(partials.parts, {0, 16}, 1, sum);
      EXPECT_EQ(testing::first_difference(sum, std::span(whole.parts[0].data + 1, sum.size())), -1) << ranks;
    }
    const Partials shards(step, 16, 1500);
    add_up(std::span(shards.parts).subspan(8, 4), {8, 4}, 1, sum);
    EXPECT_EQ(testing::first_difference(sum, std::span(quarters.parts[2].data + 1, sum.size())), -1);
  }
}

TEST(FinishTree, RoundsQuotientsOnce) {
  // Quotients that are denormal, for divisors with and without an exact reciprocal.
  for (const float samples : {2.0F, 3.0F, 128.0F, 120.0F, 0x1p100F, 0x1p127F}) {
    std::vector<float> sums;
    for (int i = 0; i < 2000; ++i) sums.push_back(static_cast<float>(i + 1) * 0x1.3p-130F);
    const std::vector<SlicePartial> parts = {{{0, 1}, sums.data()}};
    std::vector<float> result(sums.size());
    finish_tree(parts, 1, 0, samples, result);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      volatile float divisor = samples;
      ASSERT_EQ(result[i], sums[i] / divisor) << i << " / " << samples;
    }
  }
}

TEST(FinishTree, AllocatesNothing) {
  const Partials partials({3, 40, 16}, 5, 5000);
  std::vector<float> result(5000);
  lockstep::testing::start_watching();
  finish_tree(partials.parts, 16, 0, 100.0F, result);
  const lockstep::testing::Allocations made = lockstep::testing::stop_watching();
  EXPECT_EQ(made.own, 0) << made.first_own;
}

TEST(FinishTree, RefusesPartialSumsThatDoNotCoverTheTree) {
  const std::vector<float> data(10);
  std::vector<float> out(10);
  const auto run = [&](const std::vector<SlicePartial>& parts) { finish_tree(parts, 4, 0, 1.0F, out); };
  run({{{0, 2}, data.data()}, {{2, 2}, data.data()}});
  EXPECT_THROW(run({{{0, 2}, data.data()}}), Error);
  EXPECT_THROW(run({{{2, 2}, data.data()}, {{0, 2}, data.data()}}), Error);
  EXPECT_THROW(run({}), Error);
}

}  // namespace
}  // namespace lockstep::comm
