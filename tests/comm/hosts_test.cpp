#include "comm/hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::comm {
namespace {

using ::testing::ElementsAre;

TEST(Hosts, AreCountedInTheOrderOfTheirLowestRanks) {
  const Hosts hosts(std::vector<std::string>{"b", "b", "a", "b", "a", "c"});
  EXPECT_EQ(hosts.count(), 3);
  EXPECT_THAT(hosts.ranks_of(0), ElementsAre(0, 1, 3));
  EXPECT_THAT(hosts.ranks_of(1), ElementsAre(2, 4));
  EXPECT_THAT(hosts.ranks_of(2), ElementsAre(5));
  for (const int rank : {0, 1, 3}) EXPECT_EQ(hosts.host_of(rank), 0);
  EXPECT_TRUE(hosts.are_together(2, 4));
  EXPECT_FALSE(hosts.are_together(4, 5));
}

TEST(Hosts, HaveRunsOfConsecutiveRanks) {
  const Hosts hosts(std::vector<std::string>{"b", "b", "a", "b", "a", "c"});
  EXPECT_THAT(hosts.runs(), ElementsAre(Range{0, 2}, Range{2, 3}, Range{3, 4}, Range{4, 5}, Range{5, 6}));
  EXPECT_THAT(Hosts(std::vector<std::string>(4, "a")).runs(), ElementsAre(Range{0, 4}));
}

TEST(Hosts, OfOneSizeLeaveFewerToTheLast) {
  const Hosts hosts = Hosts::of_size(3, 8);
  EXPECT_EQ(hosts.count(), 3);
  EXPECT_THAT(hosts.ranks_of(1), ElementsAre(3, 4, 5));
  EXPECT_THAT(hosts.ranks_of(2), ElementsAre(6, 7));
  EXPECT_EQ(Hosts::of_size(1, 4).count(), 4);
  EXPECT_EQ(Hosts::of_size(9, 4).count(), 1);
}

}  // namespace
}  // namespace lockstep::comm
