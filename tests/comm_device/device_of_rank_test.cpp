#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "comm/devices_of_host.h"

namespace lockstep::comm {
namespace {

TEST(DeviceOfRank, GivesEachRankItsOwn) {
  World world;
  EXPECT_EQ(device_of_rank(world, device::visible_devices(), {}).index, world.rank());
}

TEST(DeviceOfRank, FollowsTheList) {
  World world;
  config::Device wanted;
  for (int rank = 0; rank < world.size(); ++rank) wanted.gpus.push_back(world.size() - 1 - rank);
  EXPECT_EQ(device_of_rank(world, device::visible_devices(), wanted).index,
            wanted.gpus[static_cast<std::size_t>(world.rank())]);
}

TEST(DeviceOfRank, WarnsOfGpusThatNoRankTakes) {
  World world;
  config::Device wanted;
  for (int rank = 0; rank <= world.size(); ++rank) wanted.gpus.push_back(rank);
  ::testing::internal::CaptureStderr();
  static_cast<void>(device_of_rank(world, device::visible_devices(), wanted));
  const std::string warning = ::testing::internal::GetCapturedStderr();
  if (world.is_root())
    EXPECT_THAT(warning, ::testing::HasSubstr("device.gpus lists"));
  else
    EXPECT_EQ(warning, "") << "one rank is enough to say it";
}

TEST(DeviceOfRank, RefusesOneForTwoUnlessTheyMayShare) {
  World world;
  if (world.size() == 1) GTEST_SKIP() << "not run: needs two ranks";
  config::Device wanted;
  wanted.gpus.assign(static_cast<std::size_t>(world.size()), 3);
  for (const auto exchange : {config::Exchange::automatic, config::Exchange::nccl}) {
    wanted.exchange = exchange;
    try {
      static_cast<void>(device_of_rank(world, device::visible_devices(), wanted));
      FAIL() << "took it";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::no_device);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("rank 0 and rank 1 on " + world.hosts()[0] +
                                                     " would both compute on GPU 3 there"));
    }
  }
  wanted.exchange = config::Exchange::mpi;
  EXPECT_EQ(device_of_rank(world, device::visible_devices(), wanted).index, 3);
}

}  // namespace
}  // namespace lockstep::comm
