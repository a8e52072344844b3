// The way of gradients and weights between ranks' devices, against the plain loops of comm/tree_reference:
// the same bits as the collectives of CPUs, which are held to them too.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/collective.h"
#include "comm/nccl_version.h"
#include "device_rank.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

using config::Exchange;

class EveryExchange : public ::testing::TestWithParam<Exchange> {
 protected:
  void SetUp() override {
    if (GetParam() == Exchange::nccl && nccl_version().empty())
      GTEST_SKIP() << "not run: this program is built without NCCL";
    if (GetParam() == Exchange::cuda_aware_mpi && !nccl_version().empty())
      GTEST_SKIP() << "not run: MPI cannot read the memory of imagined devices";
  }
  [[nodiscard]] DeviceRank make_rank(std::int64_t shards, std::int64_t blocks) {
    return {world_, GetParam(), shards, blocks};
  }
  [[nodiscard]] static std::vector<DeviceRank::Way> ways(DeviceRank& rank) {
    if (!rank.collective().only_queues()) return {DeviceRank::Way::called};
    return {DeviceRank::Way::called, DeviceRank::Way::captured};
  }
  static void expect_steps(DeviceRank& rank, std::int64_t shards) {
    std::uint64_t seed = 1;
    for (const DeviceRank::Way way : ways(rank))
      for (const std::int64_t samples : {std::int64_t{1}, shards, 3 * shards + 5, 8 * shards}) {
        const testing::Step step{.seed = seed++, .samples = samples, .shards = shards};
        EXPECT_EQ(
            testing::first_difference(rank.run(step, way), testing::reference_mean(step, {0, rank.size()})),
            -1)
            << samples << " samples in " << shards << " shards of " << rank.size() << " floats";
      }
  }

  World world_;
};
std::string name_of_parameter(const ::testing::TestParamInfo<Exchange>& info) {
  constexpr std::array<const char*, 4> names{"automatic", "nccl", "mpi", "cuda_aware_mpi"};
  return names.at(static_cast<std::size_t>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Exchanges, EveryExchange,
                         ::testing::Values(Exchange::automatic, Exchange::nccl, Exchange::mpi,
                                           Exchange::cuda_aware_mpi),
                         name_of_parameter);

TEST_P(EveryExchange, IsTheOneAskedFor) {
  DeviceRank rank = make_rank(8, 2);
  std::string expected = "nccl";
  if (GetParam() == Exchange::mpi || (GetParam() == Exchange::automatic && nccl_version().empty()))
    expected = "mpi through host memory";
  if (GetParam() == Exchange::cuda_aware_mpi) expected = "mpi from device memory";
  if (world_.size() == 1) expected = "self";
  EXPECT_EQ(rank.collective().name(), expected);
}

TEST_P(EveryExchange, GivesTheBitsOfTheTree) {
  DeviceRank rank = make_rank(8, 11);
  expect_steps(rank, 8);
}

TEST_P(EveryExchange, GivesThemWhereRanksHaveSeveralSubtrees) {
  DeviceRank rank = make_rank(32, 5);
  expect_steps(rank, 32);
}

TEST_P(EveryExchange, GivesThemWhereSomeRanksOwnNothing) {
  DeviceRank rank = make_rank(8, 1);
  expect_steps(rank, 8);
}

TEST_P(EveryExchange, AddsInPlace) {
  DeviceRank rank = make_rank(8, 3);
  std::int64_t round = 0;
  for (const DeviceRank::Way way : ways(rank))
    for (int repeat = 0; repeat < 2; ++repeat, ++round) {
      std::vector<float> own, expected;
      const std::int64_t sum_of_factors = std::int64_t{world_.size()} * (world_.size() + 1) / 2;
      for (std::int64_t i = 0; i < rank.size(); ++i) {
        own.push_back(static_cast<float>((world_.rank() + 1) * (i % 97 + round)));
        expected.push_back(static_cast<float>(sum_of_factors * (i % 97 + round)));
      }
      EXPECT_EQ(rank.sum(own, way), expected);
    }
}

TEST_P(EveryExchange, CountsItsBytes) {
  DeviceRank rank = make_rank(8, 11);
  EXPECT_EQ(rank.collective().bytes_per_step(), bytes_per_step(rank.size(), 8, world_.size(), world_.rank()));
}

TEST(DeviceCollective, IsByMpiWhereRanksShareADevice) {
  World world;
  if (world.size() == 1) GTEST_SKIP() << "not run: needs two ranks";
  for (const Exchange exchange : {Exchange::automatic, Exchange::mpi}) {
    DeviceRank rank(world, exchange, 8, 11, world.rank() / 2);
    EXPECT_EQ(rank.collective().name(), "mpi through host memory");
    const testing::Step step{.seed = 1, .samples = 24, .shards = 8};
    EXPECT_EQ(testing::first_difference(rank.run(step, DeviceRank::Way::called),
                                        testing::reference_mean(step, {0, rank.size()})),
              -1);
  }
}

TEST(DeviceCollective, IsNeverNcclWhereRanksShareADevice) {
  World world;
  if (nccl_version().empty() || world.size() == 1) GTEST_SKIP() << "not run: needs NCCL and two ranks";
  try {
    const DeviceRank rank(world, Exchange::nccl, 8, 1, world.rank() / 2);
    FAIL() << "made a collective";
  } catch (const AgreedError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("(ncclInvalidUsage)"));
  }
}

TEST(DeviceCollective, SaysThatThereIsNoNccl) {
  World world;
  if (!nccl_version().empty() || world.size() == 1) GTEST_SKIP() << "not run: there is, or nobody needs it";
  try {
    const DeviceRank rank(world, Exchange::nccl, 8, 1);
    FAIL() << "made a collective";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), ExitCode::no_device);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("has no NCCL: set device.exchange=mpi"));
  }
}

}  // namespace
}  // namespace lockstep::comm
