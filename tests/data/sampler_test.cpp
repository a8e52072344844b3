#include "data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "base/error.h"

namespace lockstep::data {
namespace {

using config::Shuffle;

std::vector<std::int64_t> rows(const Sampler& sampler, std::int64_t epoch, std::int64_t step,
                               std::int64_t shard) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(sampler.count(step, shard)));
  sampler.rows(epoch, step, shard, rows);
  return rows;
}

/// All rows of an epoch, by step and shard.
std::vector<std::int64_t> epoch_rows(const Sampler& sampler, std::int64_t epoch, Range shards) {
  std::vector<std::int64_t> all;
  for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step)
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
      for (const std::int64_t row : rows(sampler, epoch, step, shard)) all.push_back(row);
  return all;
}

std::vector<std::int64_t> epoch_rows(const Sampler& sampler, std::int64_t epoch) {
  return epoch_rows(sampler, epoch, {0, sampler.stripes().shards()});
}

std::vector<std::int64_t> counting(std::int64_t size) {
  std::vector<std::int64_t> all(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) all[static_cast<std::size_t>(i)] = i;
  return all;
}

class EveryShuffle : public ::testing::TestWithParam<Shuffle> {};
INSTANTIATE_TEST_SUITE_P(Sampler, EveryShuffle,
                         ::testing::Values(Shuffle::none, Shuffle::stripes, Shuffle::global));

TEST_P(EveryShuffle, UsesEachRowOnceAnEpoch) {
  std::mt19937 random(3);
  const auto up_to = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(1, most)(random);
  };
  for (int example = 0; example < 100; ++example) {
    const Stripes stripes(up_to(700), up_to(90), up_to(16));
    const Sampler sampler(stripes, GetParam(), 42);
    auto all = epoch_rows(sampler, 1 + example % 4);
    std::ranges::sort(all);
    ASSERT_EQ(all, counting(stripes.samples())) << stripes.batch() << " " << stripes.shards();
  }
}

TEST_P(EveryShuffle, IsAPureFunction) {
  const Sampler sampler(Stripes(1000, 64, 8), GetParam(), 42);
  const Sampler same = sampler;
  const auto backwards = rows(same, 3, 15, 7);
  EXPECT_EQ(rows(same, 3, 2, 5), rows(sampler, 3, 2, 5));
  EXPECT_EQ(rows(sampler, 3, 15, 7), backwards);
}

TEST_P(EveryShuffle, CountsPast2To31) {
  constexpr std::int64_t samples = (std::int64_t{1} << 31) + 3;
  const Sampler sampler(Stripes(samples, 4096, 8), GetParam(), 1);
  const std::int64_t last = sampler.stripes().steps() - 1;
  std::vector<std::int64_t> seen;
  for (const std::int64_t step : {std::int64_t{0}, last / 2, last})
    for (std::int64_t shard = 0; shard < 8; ++shard)
      for (const std::int64_t row : rows(sampler, 1, step, shard)) seen.push_back(row);
  EXPECT_EQ(seen.size(), 2 * 4096U + 3U);
  EXPECT_GE(std::ranges::min(seen), 0);
  EXPECT_LT(std::ranges::max(seen), samples);
  EXPECT_GT(std::ranges::max(seen), samples / 100 * 99);
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
}

TEST_P(EveryShuffle, DependsOnSeedAndEpochWhenItShuffles) {
  const Stripes stripes(1000, 64, 8);
  const bool shuffles = GetParam() != Shuffle::none;
  const auto first = epoch_rows(Sampler(stripes, GetParam(), 42), 1);
  EXPECT_EQ(first != epoch_rows(Sampler(stripes, GetParam(), 42), 2), shuffles);
  EXPECT_EQ(first != epoch_rows(Sampler(stripes, GetParam(), 43), 1), shuffles);
}

TEST(Sampler, WithoutShufflingKeepsTheFileOrder) {
  EXPECT_EQ(epoch_rows(Sampler(Stripes(1000, 64, 8), Shuffle::none, 42), 5), counting(1000));
}

TEST(Sampler, StripesStayWithTheirShards) {
  const Stripes stripes(1003, 64, 8);
  const Sampler plain(stripes, Shuffle::none, 42);
  const Sampler shuffled(stripes, Shuffle::stripes, 42);
  for (std::int64_t shard = 0; shard < 8; ++shard) {
    auto expected = epoch_rows(plain, 1, {shard, shard + 1});
    auto found = epoch_rows(shuffled, 1, {shard, shard + 1});
    EXPECT_NE(found, expected);
    std::ranges::sort(found);
    EXPECT_EQ(found, expected);
  }
}

TEST(Sampler, StripesAreShuffledUnlikeEachOther) {
  const Stripes stripes(1024, 64, 8);
  const Sampler sampler(stripes, Shuffle::stripes, 42);
  const auto positions = [&](std::int64_t shard) {
    std::vector<std::int64_t> result;
    for (const std::int64_t row : epoch_rows(sampler, 1, {shard, shard + 1}))
      result.push_back(row / 64 * 8 + row % 64 - shard * 8);
    return result;
  };
  EXPECT_NE(positions(0), positions(1));
  EXPECT_NE(positions(6), positions(7));
}

TEST(Sampler, GlobalMixesTheStripes) {
  const Stripes stripes(4096, 64, 8);
  const Sampler sampler(stripes, Shuffle::global, 42);
  const auto found = epoch_rows(sampler, 1, {0, 1});
  const auto own = std::ranges::count_if(found, [&](std::int64_t row) { return row % 64 < 8; });
  EXPECT_GT(own, 512 / 8 / 2);
  EXPECT_LT(own, 512 / 8 * 2);
}

TEST(Sampler, WantsRoomForEachRow) {
  const Sampler sampler(Stripes(1000, 64, 8), Shuffle::stripes, 42);
  std::vector<std::int64_t> out(7);
  EXPECT_THROW(sampler.rows(1, 0, 0, out), Error);
  out.resize(8);
  EXPECT_NO_THROW(sampler.rows(1, 0, 0, out));
  EXPECT_THROW(sampler.rows(0, 0, 0, out), Error);
}

}  // namespace
}  // namespace lockstep::data
