#include "train/cores.h"

#include <gtest/gtest.h>

#include "comm/collective.h"

namespace lockstep::train {
namespace {

config::Experiment experiment(std::int64_t shards, std::int64_t threads = 0) {
  config::Experiment result;
  result.training.shards = shards;
  result.device.threads = threads;
  return result;
}

TEST(ThreadsOnOneHost, AreTheRanksShareOfTheCores) {
  EXPECT_EQ(threads_on_one_host(experiment(8), 8, 1, 0), 8);
  EXPECT_EQ(threads_on_one_host(experiment(8), 8, 2, 1), 4);
  EXPECT_EQ(threads_on_one_host(experiment(64), 8, 3, 0), 2) << "two cores stay idle";
}

TEST(ThreadsOnOneHost, AreAtMostTheRanksShards) {
  EXPECT_EQ(threads_on_one_host(experiment(8), 64, 1, 0), 8);
  // Three ranks have 2, 3 and 3 of eight shards.
  EXPECT_EQ(threads_on_one_host(experiment(8), 64, 3, 0), 2);
  EXPECT_EQ(threads_on_one_host(experiment(8), 64, 3, 2), 3);
}

TEST(ThreadsOnOneHost, AreAtLeastOne) {
  for (int rank = 0; rank < 7; ++rank) EXPECT_EQ(threads_on_one_host(experiment(8), 2, 7, rank), 1);
}

TEST(ThreadsOnOneHost, FollowTheSetting) {
  EXPECT_EQ(threads_on_one_host(experiment(8, 3), 2, 1, 0), 3);
  EXPECT_EQ(threads_on_one_host(experiment(8, 16), 2, 1, 0), 8) << "but never more than shards";
}

TEST(CoresAvailable, AreSome) {
  EXPECT_GE(cores_available(), 1);
}

}  // namespace
}  // namespace lockstep::train
