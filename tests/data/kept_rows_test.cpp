#include "data/kept_rows.h"

#include <gtest/gtest.h>

#include <random>

namespace lockstep::data {
namespace {

TEST(KeptRows, AreTheRowsOfTheStripesInFileOrder) {
  std::mt19937 random(11);
  const auto between = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  for (int example = 0; example < 300; ++example) {
    const Stripes stripes(between(1, 300), between(1, 60), between(1, 16));
    const std::int64_t begin = between(0, stripes.shards());
    const Range shards{begin, between(begin, stripes.shards())};
    const KeptRows kept(stripes, shards);
    std::int64_t index = 0;
    for (std::int64_t row = 0; row < stripes.samples(); ++row) {
      const bool own = stripes.rows(row / stripes.batch(), shards).contains(row);
      ASSERT_EQ(kept.count_before(row), index);
      ASSERT_EQ(kept.any_in({row, row + 1}), own);
      ASSERT_EQ(kept.index_of(row), own ? index : -1);
      if (!own) continue;
      ASSERT_EQ(kept.row_at(index), row);
      ++index;
    }
    EXPECT_EQ(kept.count(), index);
    EXPECT_EQ(kept.count(), stripes.stripe_rows(shards));
    EXPECT_EQ(kept.count_before(stripes.samples()), index);
    EXPECT_EQ(kept.index_of(-1), -1);
    EXPECT_EQ(kept.index_of(stripes.samples()), -1);
    EXPECT_EQ(kept.index_of(stripes.samples() + stripes.batch()), -1);
    EXPECT_EQ(kept.runs() * kept.run().size() + kept.last_run().size(), index);
  }
}

TEST(KeptRows, OfAWholeSetAreAll) {
  const KeptRows kept(7);
  EXPECT_EQ(kept.count(), 7);
  EXPECT_EQ(kept.index_of(6), 6);
  EXPECT_EQ(kept.index_of(7), -1);
  EXPECT_TRUE(kept.last_run().empty());
}

}  // namespace
}  // namespace lockstep::data
