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
  const auto warning = [&] {
    wanted.gpus.push_back(std::ssize(wanted.gpus));
    ::testing::internal::CaptureStderr();
    static_cast<void>(device_of_rank(world, device::visible_devices(), wanted));
    return ::testing::internal::GetCapturedStderr();
  };
  for (int rank = 1; rank < world.size(); ++rank) wanted.gpus.push_back(rank - 1);
  EXPECT_EQ(warning(), "");
  const std::string listed = fmt::format("device.gpus lists {} GPUs, but no host has more than {} rank",
                                         world.size() + 1, world.size());
  EXPECT_THAT(warning(), world.is_root() ? ::testing::HasSubstr(listed) : ::testing::HasSubstr(""));
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
