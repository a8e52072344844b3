#include "train/shard_engine.h"

#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

TEST(ShardSizes, AreThoseOfFullStepsAndOfTheTail) {
  // 60,000 = 468 × 128 + 96: sixteen samples a shard, twelve in the tail.
  EXPECT_EQ(shard_sizes(data::Stripes(60'000, 128, 8), {0, 8}), (std::vector<std::int64_t>{16, 12}));
}

TEST(ShardSizes, AreTheOwnShardsOnly) {
  // Ten samples in eight shards: 1 1 1 2 1 1 1 2.
  const data::Stripes stripes(10, 10, 8);
  EXPECT_EQ(shard_sizes(stripes, {0, 3}), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(shard_sizes(stripes, {3, 4}), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(shard_sizes(stripes, {0, 8}), (std::vector<std::int64_t>{2, 1}));
}

TEST(ShardSizes, LeaveEmptyShardsOut) {
  const data::Stripes stripes(3, 3, 8);  // most shards have no sample
  for (const std::int64_t size : shard_sizes(stripes, {0, 8})) EXPECT_GT(size, 0);
  EXPECT_TRUE(shard_sizes(stripes, {0, 2}).empty());
}

}  // namespace
}  // namespace lockstep::train
