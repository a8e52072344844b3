#include "data/stripes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/error.h"

namespace lockstep::data {
namespace {

/// Random sets, batches and shards; among them tails, batches smaller than the shards and sets smaller than a
/// batch.
std::vector<Stripes> examples() {
  std::mt19937 random(7);
  const auto up_to = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(1, most)(random);
  };
  std::vector<Stripes> examples = {{1, 1, 1}, {1, 128, 8}, {60'000, 128, 8},
                                   {8, 8, 8}, {9, 8, 8},   {100, 3, 8}};
  for (int i = 0; i < 200; ++i) examples.emplace_back(up_to(500), up_to(80), up_to(20));
  return examples;
}

std::int64_t width(const Stripes& stripes, std::int64_t step, std::int64_t shard) {
  return stripes.rows(step, {shard, shard + 1}).size();
}

TEST(Stripes, CutMnistAsTheDesignSays) {
  const Stripes stripes(60'000, 128, 8);
  EXPECT_EQ(stripes.steps(), 469);
  EXPECT_EQ(stripes.step_samples(467), 128);
  EXPECT_EQ(stripes.step_samples(468), 96);
  EXPECT_EQ(stripes.rows(2, {3, 5}), (Range{2 * 128 + 48, 2 * 128 + 80}));
  EXPECT_EQ(stripes.rows(468, {7, 8}), (Range{468 * 128 + 84, 60'000}));
  EXPECT_EQ(stripes.stripe_rows({0, 1}), 468 * 16 + 12);
  EXPECT_EQ(stripes.stripe_rows({0, 4}), 30'000);
}

TEST(Stripes, CoverEachRowOnceInEveryStep) {
  for (const Stripes& stripes : examples()) {
    std::int64_t next = 0;
    for (std::int64_t step = 0; step < stripes.steps(); ++step)
      for (std::int64_t shard = 0; shard < stripes.shards(); ++shard) {
        const Range rows = stripes.rows(step, {shard, shard + 1});
        EXPECT_EQ(rows.begin, next);
        next = rows.end;
      }
    EXPECT_EQ(next, stripes.samples());
  }
}

TEST(Stripes, PositionsRunThroughTheStripe) {
  for (const Stripes& stripes : examples())
    for (std::int64_t shard = 0; shard < stripes.shards(); ++shard) {
      std::int64_t position = 0;
      for (std::int64_t step = 0; step < stripes.steps(); ++step) {
        ASSERT_EQ(stripes.first_position(step, shard), position);
        const Range rows = stripes.rows(step, {shard, shard + 1});
        for (std::int64_t row = rows.begin; row < rows.end; ++row)
          ASSERT_EQ(stripes.row_of(shard, position++), row);
      }
      EXPECT_EQ(stripes.stripe_rows({shard, shard + 1}), position);
    }
}

TEST(Stripes, ShardsOfARankAreOneRun) {
  for (const Stripes& stripes : examples()) {
    const Range shards{stripes.shards() / 3, stripes.shards()};
    for (std::int64_t step = 0; step < stripes.steps(); ++step) {
      std::int64_t sum = 0;
      for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) sum += width(stripes, step, shard);
      EXPECT_EQ(stripes.rows(step, shards).size(), sum);
    }
    EXPECT_TRUE(stripes.rows(0, {shards.begin, shards.begin}).empty());
  }
}

TEST(Stripes, HoldBeyondThirtyTwoBits) {
  constexpr std::int64_t samples = (std::int64_t{1} << 31) + 5;
  const Stripes stripes(samples, 1024, 8);
  EXPECT_EQ(stripes.steps(), (std::int64_t{1} << 21) + 1);
  std::int64_t sum = 0;
  for (std::int64_t shard = 0; shard < 8; ++shard) {
    const std::int64_t rows = stripes.stripe_rows({shard, shard + 1});
    sum += rows;
    EXPECT_EQ(stripes.row_of(shard, rows - 1),
              stripes.rows(stripes.steps() - (width(stripes, stripes.steps() - 1, shard) > 0 ? 1 : 2),
                           {shard, shard + 1})
                      .end -
                  1);
  }
  EXPECT_EQ(sum, samples);
  EXPECT_EQ(stripes.row_of(7, stripes.stripe_rows({7, 8}) - 1), samples - 1);
}

TEST(Stripes, RefuseWhatIsOutside) {
  const Stripes stripes(100, 32, 8);
  EXPECT_THROW(static_cast<void>(stripes.step_samples(4)), Error);
  EXPECT_THROW(static_cast<void>(stripes.rows(0, {7, 9})), Error);
  EXPECT_THROW(static_cast<void>(stripes.row_of(0, stripes.stripe_rows({0, 1}))), Error);
  EXPECT_THROW(Stripes(0, 1, 1), Error);
}

}  // namespace
}  // namespace lockstep::data
