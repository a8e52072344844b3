// Devices do what is queued whenever they like, as far as streams and events let them.
#include <gtest/gtest.h>

#include <string>

#include "control.h"
#include "device_rank.h"

namespace lockstep::comm {
namespace {

TEST(NcclOrder, OfWorkOnTheDevicesChangesNoBits) {
  World world;
  const testing::Step first{.seed = 1, .samples = 40, .shards = 16};
  const testing::Step second{.seed = 2, .samples = 37, .shards = 16};
  for (int seed = 0; seed < 20; ++seed) {
    // Another order on each rank.
    standin::configure("devices=8,seed=" + std::to_string(100 * seed + world.rank()));
    DeviceRank rank(world, config::Exchange::automatic, 16, 9);
    const Range all{0, rank.size()};
    for (const auto way : {DeviceRank::Way::called, DeviceRank::Way::captured}) {
      EXPECT_EQ(testing::first_difference(rank.run(first, way), testing::reference_mean(first, all)), -1)
          << seed;
      EXPECT_EQ(testing::first_difference(rank.run(second, way), testing::reference_mean(second, all)), -1)
          << seed;
    }
  }
  standin::configure("devices=8");
}

}  // namespace
}  // namespace lockstep::comm
