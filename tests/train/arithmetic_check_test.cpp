#include "train/arithmetic_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t seed = 11;

TEST(CheckedShard, HasSamplesAndDoesNotDependOnTheRanks) {
  const data::Stripes stripes(45, 20, 8);  // the third step has 5 samples for 8 shards
  for (std::int64_t step = 1; step <= 300; ++step) {
    const std::int64_t shard = checked_shard(seed, step, stripes, 1).shard;
    EXPECT_FALSE(stripes.rows((step - 1) % 3, {shard, shard + 1}).empty()) << step;
    for (const int ranks : {2, 3, 5, 8}) EXPECT_EQ(checked_shard(seed, step, stripes, ranks).shard, shard);
  }
}

TEST(CheckedShard, IsGivenToRanksThatDiffer) {
  const data::Stripes stripes(160, 16, 8);
  for (const int ranks : {1, 2, 3, 4, 5, 8})
    for (std::int64_t step = 1; step <= 200; ++step) {
      const CheckedShard checked = checked_shard(seed, step, stripes, ranks);
      EXPECT_TRUE(piece(8, ranks, checked.owner).contains(checked.shard));
      std::set<int> taken{checked.owner, checked.checker};
      EXPECT_EQ(taken.size(), ranks == 1 ? 1U : 2U);
      if (ranks > 2)
        EXPECT_TRUE(taken.insert(checked.judge).second) << "step " << step << " of " << ranks << " ranks";
      else
        EXPECT_EQ(checked.judge, -1);
      EXPECT_LT(*taken.rbegin(), ranks);
      EXPECT_GE(*taken.begin(), 0);
    }
}

TEST(CheckedShard, IsEveryShardAndEveryRankInTurn) {
  const data::Stripes stripes(160, 16, 8);
  constexpr int steps = 8000;
  std::map<std::int64_t, int> shards;
  std::map<int, int> checkers;
  std::map<int, int> judges;
  std::set<std::tuple<int, int, int>> roles;
  for (std::int64_t step = 1; step <= steps; ++step) {
    const CheckedShard checked = checked_shard(seed, step, stripes, 4);
    ++shards[checked.shard];
    ++checkers[checked.checker];
    ++judges[checked.judge];
    roles.emplace(checked.owner, checked.checker, checked.judge);
  }
  for (const auto& [shard, count] : shards) EXPECT_NEAR(count, steps / 8.0, 150) << "shard " << shard;
  for (const auto& [rank, count] : checkers) EXPECT_NEAR(count, steps / 4.0, 200) << "checker " << rank;
  for (const auto& [rank, count] : judges) EXPECT_NEAR(count, steps / 4.0, 200) << "judge " << rank;
  EXPECT_EQ(shards.size(), 8U);
  EXPECT_EQ(roles.size(), 4U * 3U * 2U);
}

TEST(CheckedShard, FollowsTheSeed) {
  const data::Stripes stripes(160, 16, 8);
  int equal = 0;
  for (std::int64_t step = 1; step <= 100; ++step)
    equal += checked_shard(1, step, stripes, 1).shard == checked_shard(2, step, stripes, 1).shard ? 1 : 0;
  EXPECT_LT(equal, 40);
}

class VerdictTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t right = 7, wrong = 8, also_wrong = 9;
  std::vector<std::string> hosts_{"a", "b", "c", "d"};
};

TEST_F(VerdictTest, TheJudgeDecidesBetweenTwo) {
  const CheckedShard checked{.shard = 5, .owner = 2, .checker = 0, .judge = 3};
  std::vector<RankHashes> by_rank(4, {.first = 1, .again = 0});  // rank 1 has no part in it
  const auto say = [&](std::uint64_t owner, std::uint64_t checker, std::uint64_t judge) {
    by_rank[2].first = owner;
    by_rank[0].first = checker;
    by_rank[3].first = judge;
    EXPECT_EQ(same_result(checked, by_rank), owner == checker);
    return verdict(checked, by_rank, hosts_);
  };
  EXPECT_EQ(
      say(wrong, right, right),
      "rank 2 on c computed shard 5 wrong: rank 0 on a and rank 3 on d got equal bits, and it got others");
  EXPECT_EQ(
      say(right, wrong, right),
      "rank 0 on a computed shard 5 wrong: rank 2 on c and rank 3 on d got equal bits, and it got others");
  EXPECT_EQ(say(right, wrong, also_wrong),
            "rank 2 on c, rank 0 on a and rank 3 on d each got other bits for shard 5: at least two of them "
            "compute wrong");
  EXPECT_TRUE(same_result(checked, std::vector<RankHashes>(4)));
}

TEST_F(VerdictTest, OfTwoTheOneThatWaversIsWrong) {
  const CheckedShard checked{.shard = 5, .owner = 1, .checker = 0, .judge = -1};
  const auto say = [&](RankHashes owner, RankHashes checker) {
    const std::vector<RankHashes> by_rank{checker, owner};
    EXPECT_FALSE(same_result(checked, by_rank));
    return verdict(checked, by_rank, hosts_);
  };
  EXPECT_EQ(say({wrong, right}, {right, right}), "rank 1 on b computed shard 5 twice and got other bits");
  EXPECT_EQ(say({right, right}, {wrong, right}), "rank 0 on a computed shard 5 twice and got other bits");
  EXPECT_EQ(say({wrong, right}, {also_wrong, right}),
            "rank 1 on b and rank 0 on a computed shard 5 twice and got other bits");
  EXPECT_THAT(
      say({wrong, wrong}, {right, right}),
      HasSubstr("rank 1 on b and rank 0 on a each got the same bits for shard 5 when they computed it "
                "again, but not those of the other: the hosts compute differently"));
}

TEST_F(VerdictTest, OneRankAloneDisagreesWithItself) {
  const CheckedShard checked{.shard = 5, .owner = 0, .checker = 0, .judge = -1};
  const std::vector<RankHashes> good{{right, right}};
  const std::vector<RankHashes> bad{{wrong, right}};
  EXPECT_TRUE(same_result(checked, good));
  EXPECT_FALSE(same_result(checked, bad));
  EXPECT_EQ(verdict(checked, bad, hosts_), "rank 0 on a computed shard 5 twice and got other bits");
}

TEST(ResultHash, FollowsEachBitOfGradientAndTotals) {
  std::vector<float> gradient(1024, 0.5F);
  const device::Totals totals{.loss = 1.5, .correct = 3, .samples = 4};
  const std::uint64_t hash = result_hash(gradient, totals);
  EXPECT_EQ(hash, result_hash(gradient, totals));
  for (const device::Totals& other : {device::Totals{.loss = 1.25, .correct = 3, .samples = 4},
                                      device::Totals{.loss = 1.5, .correct = 2, .samples = 4},
                                      device::Totals{.loss = 1.5, .correct = 3, .samples = 5}})
    EXPECT_NE(hash, result_hash(gradient, other));
  gradient[1023] = -0.5F;
  EXPECT_NE(hash, result_hash(gradient, totals));
}

}  // namespace
}  // namespace lockstep::train
