#include "train/rank_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::train {
namespace {

using ::testing::Optional;

std::vector<std::string> hosts(std::size_t ranks) {
  std::vector<std::string> names;
  for (std::size_t rank = 0; rank < ranks; ++rank) names.push_back(rank < ranks / 2 ? "alpha" : "beta");
  return names;
}

TEST(Difference, IsNoneWhereAllHaveTheSame) {
  const Facts facts{{"oneDNN", "2.6.3"}, {"HDF5", "1.10.8"}};
  for (const std::size_t ranks : {1U, 2U, 8U})
    EXPECT_EQ(difference(std::vector(ranks, facts), hosts(ranks)), std::nullopt);
}

TEST(Difference, NamesTheRankThatIsAlone) {
  for (const std::size_t ranks : {3U, 4U, 8U})
    for (std::size_t odd = 0; odd < ranks; ++odd) {
      std::vector<Facts> all(ranks, {{"compiler", "GNU 12"}, {"oneDNN", "2.6.3"}});
      all[odd][1].value = "3.7.2";
      EXPECT_THAT(difference(all, hosts(ranks)),
                  Optional(::testing::StartsWith("oneDNN: 3.7.2 on rank " + std::to_string(odd) + " (" +
                                                 hosts(ranks)[odd] + "), 2.6.3 on ranks ")));
    }
}

TEST(Difference, ComparesTheSecondOfTwoWithTheFirst) {
  EXPECT_THAT(difference(std::vector<Facts>{{{"oneDNN", "2.6.3"}}, {{"oneDNN", "3.7.2"}}}, hosts(2)),
              Optional(std::string("oneDNN: 3.7.2 on rank 1 (beta), 2.6.3 on rank 0 (alpha)")));
}

TEST(Difference, ListsRanksAndHostsInShort) {
  std::vector<Facts> all(8, {{"oneDNN", "a"}});
  for (const std::size_t rank : {1U, 2U, 3U, 7U}) all[rank][0].value = "b";
  EXPECT_THAT(difference(all, hosts(8)), Optional(std::string("oneDNN: b on ranks 1-3, 7 (alpha, beta), a on "
                                                              "ranks 0, 4-6 (alpha, beta)")));
}

TEST(Difference, HasALineForEachFact) {
  EXPECT_THAT(difference(std::vector<Facts>{{{"a", "1"}, {"b", "1"}, {"c", "1"}},
                                            {{"a", "2"}, {"b", "1"}, {"c", "3"}}},
                         hosts(2)),
              Optional(std::string("a: 2 on rank 1 (beta), 1 on rank 0 (alpha)\n"
                                   "c: 3 on rank 1 (beta), 1 on rank 0 (alpha)")));
}

TEST(Difference, AsksOnlyThoseThatHaveTheFact) {
  const Facts both{{"large", "1"}, {"small", "2"}};
  EXPECT_EQ(difference(std::vector<Facts>{{{"large", "1"}}, both, {{"small", "2"}}, {}}, hosts(4)),
            std::nullopt);
  EXPECT_THAT(difference(std::vector<Facts>{{{"large", "1"}}, both, {{"small", "3"}}, {}}, hosts(4)),
              Optional(std::string("small: 3 on rank 2 (beta), 2 on rank 1 (alpha)")));
}

}  // namespace
}  // namespace lockstep::train
