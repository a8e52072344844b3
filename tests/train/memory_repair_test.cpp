#include "train/memory_repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::uint64_t damaged = 999;

/// Three ranks that have five blocks whole.
std::vector<BlocksOnRank> three_ranks() {
  const std::vector<std::uint64_t> hashes{10, 11, 12, 13, 14};
  return std::vector<BlocksOnRank>(3, {.written = hashes, .now = hashes});
}

TEST(RepairPlan, LeavesWhatIsWholeAlone) {
  const auto fetches = plan_repair(three_ranks());
  ASSERT_TRUE(fetches.has_value());
  EXPECT_THAT(*fetches, IsEmpty());
}

TEST(RepairPlan, FetchesEachDamagedBlockFromTheFirstRankThatHasItWhole) {
  auto ranks = three_ranks();
  ranks[0].now[4] = damaged;
  ranks[1].now[4] = damaged + 1;
  ranks[2].now[1] = damaged;
  const auto fetches = plan_repair(ranks);
  ASSERT_TRUE(fetches.has_value());
  EXPECT_THAT(*fetches, ElementsAre(Fetch{1, 2, 0}, Fetch{4, 0, 2}, Fetch{4, 1, 2}));
}

TEST(RepairPlan, HasNoneForABlockThatIsWholeNowhere) {
  auto ranks = three_ranks();
  ranks[2].now[1] = damaged;
  for (BlocksOnRank& rank : ranks) rank.now[3] = damaged;
  EXPECT_FALSE(plan_repair(ranks).has_value());
  EXPECT_FALSE(plan_repair(std::vector{ranks[2]}).has_value()) << "a rank alone has no copy elsewhere";
}

TEST(RepairPlan, TakesOnlyWhatTheDamagedRankItselfHasWritten) {
  auto ranks = three_ranks();  // each updates everything by itself, and rank 0 has other bits
  ranks[0].written[2] = ranks[0].now[2] = 22;
  ranks[1].now[2] = damaged;
  const auto fetches = plan_repair(ranks);
  ASSERT_TRUE(fetches.has_value());
  EXPECT_THAT(*fetches, ElementsAre(Fetch{2, 1, 2}));
}

TEST(RepairLimit, IsThreeInAnyHundredSteps) {
  RepairLimit limit;
  EXPECT_TRUE(limit.allows(1));
  EXPECT_TRUE(limit.allows(1));  // the same step again
  EXPECT_TRUE(limit.allows(50));
  EXPECT_FALSE(limit.allows(50));
  EXPECT_FALSE(limit.allows(100));
  EXPECT_TRUE(limit.allows(101));
  EXPECT_TRUE(limit.allows(101));
  EXPECT_FALSE(limit.allows(149));
  EXPECT_TRUE(limit.allows(150));
}

TEST(RepairLimit, IsNeverReachedByRareRepairs) {
  RepairLimit limit;
  for (std::int64_t step = 1; step < 10'000; step += 34) EXPECT_TRUE(limit.allows(step)) << step;
}

}  // namespace
}  // namespace lockstep::train
