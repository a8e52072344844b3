// NCCL's calls fail one after the other: each ends in one message that names the call, and nothing is left
// behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "comm/nccl_version.h"
#include "control.h"
#include "device_rank.h"

namespace lockstep::comm {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::array calls{"ncclCommInitRankConfig",
                           "ncclCommGetAsyncError",
                           "ncclGroupStart",
                           "ncclGroupEnd",
                           "ncclSend",
                           "ncclRecv",
                           "ncclAllReduce"};

class NcclFailure : public ::testing::Test {
 protected:
  void SetUp() override {
    if (world_.size() == 1) GTEST_SKIP() << "not run: one rank needs no NCCL";
  }
  void TearDown() override { configure(""); }

  static void configure(const std::string& failure) {
    standin::configure("devices=8,guards=0" + (failure.empty() ? "" : "," + failure));
  }

  /// As many shards that each rank has one partial sum: all make the same calls.
  [[nodiscard]] std::int64_t shards() const {
    std::int64_t shards = 1;
    while (shards < world_.size()) shards *= 2;
    return shards;
  }

  /// All that a trainer does.
  void train() {
    DeviceRank rank(world_, config::Exchange::nccl, shards(), 8);
    const testing::Step step{.seed = 1, .samples = 16, .shards = shards()};
    for (const auto way : {DeviceRank::Way::called, DeviceRank::Way::captured}) {
      rank.run(step, way);
      rank.sum(std::vector<float>(static_cast<std::size_t>(rank.size())), way);
    }
    world_.barrier();  // as a trainer has said how it went before it ends
  }

  /// The message that it ends with; empty if it does not fail.
  std::string failure_of_training() {
    try {
      train();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      return error.what();
    }
    return "";
  }

  World world_;
};

/// Ranks hear of each other's failures, maybe before they come to their own.
constexpr const char* others_are_gone = "(ncclRemoteError) at src/comm/nccl_";

/// NCCL would refuse to connect them.
TEST_F(NcclFailure, PartsOfOneBoardExchangeThroughMpi) {
  const auto name = [&] {
    return std::string(DeviceRank(world_, config::Exchange::automatic, shards(), 1).collective().name());
  };
  configure("one_board=1");
  EXPECT_EQ(name(), "mpi through host memory");
  configure("");
  EXPECT_EQ(name(), "nccl");
}

TEST_F(NcclFailure, OfAnyCallIsOneMessageAndLeavesNothing) {
  configure("");
  train();
  const std::map<std::string, std::int64_t> counts = standin::call_counts();
  EXPECT_THAT(standin::live_handles(), IsEmpty());
  for (const char* call : calls) {
    ASSERT_TRUE(counts.contains(call)) << call;
    const bool is_polled = call == std::string_view("ncclCommGetAsyncError");  // any number of times
    const std::int64_t count = is_polled ? 3 : counts.at(call);
    for (std::int64_t k = 1; k <= count; ++k) {
      configure("fail=" + std::string(call) + ":" + std::to_string(k));
      const std::string message = failure_of_training();
      const auto names_call =
          AllOf(HasSubstr("NCCL: " + std::string(call) + " in "), HasSubstr("at src/comm/nccl_"));
      EXPECT_THAT(message, AnyOf(names_call, HasSubstr(others_are_gone))) << "call " << k << " of " << count;
      std::int64_t named = ::testing::Matches(names_call)(message) ? 1 : 0;
      world_.sum({&named, 1});  // nobody begins anew while others are at it
      EXPECT_GT(named, 0) << call << ", call " << k << " of " << count;
      EXPECT_THAT(standin::live_handles(), IsEmpty()) << call << ", call " << k;
    }
  }
}

TEST_F(NcclFailure, OfOneRankInAStepReachesTheOthers) {
  const bool is_culprit = world_.rank() == world_.size() - 1;
  const std::string first_of_step = std::to_string(world_.size());  // set-up sends one message to each other
  for (const std::string& failure :
       {"ncclSend:" + first_of_step, "ncclRecv:" + first_of_step, std::string("nccl_async_error:9")}) {
    configure(is_culprit ? "fail=" + failure : "");
    const std::string message = failure_of_training();
    EXPECT_THAT(message, HasSubstr(is_culprit && failure[4] != '_' ? failure.substr(0, 8) + " in the exchange"
                                                                   : others_are_gone))
        << failure;
    world_.barrier();
    EXPECT_THAT(standin::live_handles(), IsEmpty()) << failure;
  }
}

TEST_F(NcclFailure, OfOneRankInSetUpIsAllRanksError) {
  for (const char* call : {"ncclCommInitRankConfig", "ncclSend", "ncclGroupEnd"}) {
    configure(world_.rank() == world_.size() - 1 ? "fail=" + std::string(call) + ":1" : "");
    try {
      const DeviceRank rank(world_, config::Exchange::nccl, shards(), 8);
      FAIL() << "made a collective";
    } catch (const AgreedError& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("rank " + std::to_string(world_.size() - 1) + " on "), HasSubstr(call)));
    }
    world_.barrier();
    EXPECT_THAT(standin::live_handles(), IsEmpty()) << call;
  }
}

TEST_F(NcclFailure, OfTheUniqueIdIsAllRanksError) {
  configure("fail=ncclGetUniqueId:1");
  EXPECT_THAT(failure_of_training(), HasSubstr("NCCL: ncclGetUniqueId in connecting the ranks failed"));
  EXPECT_THAT(standin::live_handles(), IsEmpty());
}

TEST_F(NcclFailure, AtTheEndIsAWarning) {
  for (const char* call : {"ncclCommFinalize", "ncclCommDestroy"}) {
    configure("fail=" + std::string(call) + ":1");
    EXPECT_EQ(failure_of_training(), "") << call;
    world_.barrier();
  }
}

TEST_F(NcclFailure, OfTheVersionIsAnError) {
  configure("fail=ncclGetVersion:1");
  EXPECT_THROW(static_cast<void>(nccl_version()), Error);
}

}  // namespace
}  // namespace lockstep::comm
