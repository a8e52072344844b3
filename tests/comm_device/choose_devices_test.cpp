#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/devices_of_host.h"

namespace lockstep::comm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Ids = std::vector<std::string>;
constexpr bool alone = false;
constexpr bool sharing = true;

/// The message; its code is always no_device.
std::string refusal(const std::vector<VisibleDevices>& ranks, const std::vector<std::int64_t>& gpus,
                    bool may_share = alone) {
  try {
    static_cast<void>(choose_devices(ranks, gpus, may_share));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_device);
    return error.what();
  }
  return "";
}

TEST(ChooseDevices, GivesTheRanksOfEachHostItsDevicesInOrder) {
  const Ids all{"A", "B", "C"};
  EXPECT_THAT(choose_devices({{{"n1", all}, {"n1", all}, {"n2", all}, {"n1", all}, {"n2", all}}}, {}, alone),
              ElementsAre(0, 1, 0, 2, 1));
}

TEST(ChooseDevices, TakesTheOneThatALauncherShowsToEachRank) {
  EXPECT_THAT(choose_devices({{{"n", {"A"}}, {"n", {"B"}}, {"n", {"C"}}}}, {}, alone), ElementsAre(0, 0, 0));
}

TEST(ChooseDevices, LeavesOutWhatARankBeforeHas) {
  EXPECT_THAT(
      choose_devices({{{"n", {"A", "B"}}, {"n", {"B", "A", "C"}}, {"n", {"B", "A", "C"}}}}, {}, alone),
      ElementsAre(0, 0, 2));
}

TEST(ChooseDevices, TellsHostsApartThatHaveDevicesOfOneName) {
  EXPECT_THAT(choose_devices({{{"n1", {"A"}}, {"n2", {"A"}}}}, {}, alone), ElementsAre(0, 0));
}

TEST(ChooseDevices, FollowsTheListOnEachHost) {
  const Ids all{"A", "B", "C"};
  EXPECT_THAT(
      choose_devices({{{"n1", all}, {"n1", all}, {"n2", all}}}, std::vector<std::int64_t>{2, 0}, alone),
      ElementsAre(2, 0, 2));
}

TEST(ChooseDevices, RefusesTwoRanksOnOneDevice) {
  const Ids all{"A", "B"};
  EXPECT_THAT(
      refusal({{"n", all}, {"n", all}, {"n", all}}, {}),
      HasSubstr("rank 0 and rank 2 on n would both compute on GPU 0 there (A): start one rank for each"));
  EXPECT_THAT(refusal({{"n", {"A", "B"}}, {"m", {"A"}}, {"n", {"B", "A"}}}, {0, 1}),
              HasSubstr("rank 0 and rank 2 on n would both compute on GPU 1 there (A)"));
}

TEST(ChooseDevices, RefusesAListThatDoesNotFit) {
  const Ids all{"A", "B"};
  EXPECT_THAT(refusal({{"n", all}, {"n", all}}, {1}),
              HasSubstr("rank 1 on n is number 2 of the ranks there, but device.gpus lists 1"));
  EXPECT_THAT(refusal({{"n", all}, {"n", all}}, {1, 2}),
              HasSubstr("device.gpus lists 2, but rank 1 on n sees 2 GPUs, counted from 0"));
  EXPECT_THAT(refusal({{"n", all}, {"n", all}}, {1, 2}, sharing), HasSubstr("device.gpus lists 2"));
}

TEST(UnusedDevices, AreThoseThatNoHostHasRanksFor) {
  const Ids all{"A", "B", "C"};
  const std::vector<VisibleDevices> ranks{{"n1", all}, {"n2", all}, {"n1", all}};
  EXPECT_EQ(unused_devices(ranks, {}), "");
  EXPECT_EQ(unused_devices(ranks, std::vector<std::int64_t>{2, 0}), "") << "n1 has two ranks";
  EXPECT_THAT(unused_devices(ranks, std::vector<std::int64_t>{2, 0, 1}),
              HasSubstr("device.gpus lists 3 GPUs, but no host has more than 2 ranks: start"));
  EXPECT_THAT(unused_devices({{{"n", all}}}, std::vector<std::int64_t>{0, 1}),
              HasSubstr("lists 2 GPUs, but no host has more than 1 rank: start"));
}

TEST(ChooseDevices, RefusesARankThatSeesNone) {
  EXPECT_THAT(refusal({{"n", {"A"}}, {"m", {}}}, {}), HasSubstr("rank 1 on m sees no GPU"));
  EXPECT_THAT(refusal({{"n", {"A"}}, {"m", {}}}, {}, sharing), HasSubstr("rank 1 on m sees no GPU"));
}

TEST(ChooseDevices, SpreadsRanksThatShare) {
  const Ids all{"A", "B"};
  const std::vector<VisibleDevices> ranks(5, {"n", all});
  EXPECT_THAT(choose_devices(ranks, {}, sharing), ElementsAre(0, 1, 0, 1, 0));
  EXPECT_THAT(choose_devices({ranks.data(), 2}, std::vector<std::int64_t>{1, 1}, sharing), ElementsAre(1, 1));
}

}  // namespace
}  // namespace lockstep::comm
