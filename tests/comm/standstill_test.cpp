#include "comm/standstill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "comm/phase_times.h"

namespace lockstep::comm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Sign = RankSign::Sign;

/// A rank that waits for others, which is what most do in a standstill.
RankSign waiting(int rank, Phase phase, std::int64_t step, Sign sign = Sign::alive) {
  return {rank, "host" + std::to_string(rank / 2), sign, {phase, true, step}};
}
RankSign working(int rank, Phase phase, std::int64_t step) {
  return {rank, "host" + std::to_string(rank / 2), Sign::alive, {phase, false, step}};
}

TEST(Standstill, IsTheFaultOfWhoeverIsSilent) {
  const std::vector<RankSign> ranks{waiting(0, Phase::sharing_status, 7),
                                    waiting(1, Phase::sharing_status, 7, Sign::silent),
                                    working(2, Phase::computing, 7)};
  EXPECT_THAT(culprits(ranks), ElementsAre(1));
  EXPECT_EQ(
      standstill_message(ranks, 300),
      "sharing the status, step 7: rank 1 on host0 has given no sign of life for 300 s; suspect the "
      "host, or the "
      "network to it.\n"
      "  rank 0: waiting for others while sharing the status, step 7\n"
      "  rank 2: computing shards, step 7\n"
      "The job ends here (training.watchdog_seconds); lockstep resume goes on from its last checkpoint.");
}

TEST(Standstill, IsElseTheFaultOfWhoeverLeft) {
  const std::vector<RankSign> ranks{waiting(0, Phase::recording, 7),
                                    waiting(1, Phase::recording, 7, Sign::left),
                                    working(2, Phase::validating, 7)};
  EXPECT_THAT(culprits(ranks), ElementsAre(1));
  EXPECT_THAT(standstill_message(ranks, 2), HasSubstr("\n  rank 1: has left the training\n"));
}

TEST(Standstill, IsElseTheFaultOfWhoeverDoesNotWait) {
  const std::vector<RankSign> ranks{waiting(0, Phase::exchanging, 7), working(1, Phase::preparing_update, 7),
                                    waiting(2, Phase::exchanging, 7), waiting(3, Phase::exchanging, 7),
                                    working(4, Phase::loading, 7)};
  EXPECT_THAT(culprits(ranks), ElementsAre(1, 4));
  EXPECT_EQ(
      standstill_message(ranks, 2),
      "exchanging gradients, step 7: rank 1 on host0 and rank 4 on host2 have made no progress for 2 s.\n"
      "  ranks 0, 2 and 3: waiting for others while exchanging gradients, step 7\n"
      "  rank 1: preparing the update, step 7\n"
      "  rank 4: loading samples, step 7\n"
      "The job ends here (training.watchdog_seconds); lockstep resume goes on from its last checkpoint.");
}

TEST(Standstill, IsElseTheFaultOfWhoeverIsBehind) {
  const std::vector<RankSign> ranks{waiting(0, Phase::sharing_status, 8), waiting(1, Phase::gathering, 7),
                                    waiting(2, Phase::sharing_status, 8), waiting(3, Phase::exchanging, 8)};
  EXPECT_THAT(culprits(ranks), ElementsAre(0, 1, 2));
  EXPECT_THAT(culprits(std::vector(ranks.begin(), ranks.begin() + 3)), ElementsAre(1));
}

TEST(Standstill, IsNobodysFaultWhereAllWaitAtOnePoint) {
  const std::vector<RankSign> ranks{waiting(0, Phase::gathering, 7), waiting(1, Phase::gathering, 7)};
  EXPECT_THAT(culprits(ranks), IsEmpty());
  EXPECT_THAT(
      standstill_message(ranks, 2),
      HasSubstr("gathering weights, step 7: all ranks wait for each other for 2 s; suspect the network"));
}

TEST(Standstill, IsNobodysFaultWhereSomeWaitForMessagesAndTheOthersForThem) {
  const std::vector<RankSign> ranks{waiting(0, Phase::gathering, 7), waiting(1, Phase::packing, 7),
                                    waiting(2, Phase::gathering, 7)};
  EXPECT_THAT(culprits(ranks), IsEmpty());
  const std::vector<RankSign> behind{waiting(0, Phase::exchanging, 7), waiting(1, Phase::packing, 7)};
  EXPECT_THAT(culprits(behind), ElementsAre(0));
}

TEST(Standstill, OfOneRankIsItsOwn) {
  const std::vector<RankSign> ranks{working(0, Phase::loading, 1)};
  EXPECT_THAT(culprits(ranks), ElementsAre(0));
  EXPECT_THAT(standstill_message(ranks, 2),
              HasSubstr("loading samples, step 1: rank 0 on host0 has made no progress for 2 s."));
}

TEST(Standstill, OfManyRanksIsStillAShortMessage) {
  std::vector<RankSign> ranks{waiting(0, Phase::sharing_status, 5)};
  for (int rank = 1; rank < 1000; ++rank)
    ranks.push_back(waiting(rank, Phase::sharing_status, 5, rank < 500 ? Sign::alive : Sign::silent));
  const std::string message = standstill_message(ranks, 2);
  EXPECT_THAT(message, HasSubstr("rank 515 on host257 and 484 more have given no sign"));
  EXPECT_THAT(message, Not(HasSubstr("rank 516")));
  EXPECT_THAT(message, HasSubstr("\n  ranks 0 to 499: waiting for others"));
}

TEST(TurnToSpeak, BeginsWithOneRankOfEachHost) {
  const std::vector<std::string> hosts{"a", "a", "a", "b", "b", "a", "c"};
  std::vector<std::int64_t> turns;
  for (int rank = 1; rank < 7; ++rank) turns.push_back(turn_to_speak(rank, hosts));
  EXPECT_THAT(turns, ElementsAre(0, 3, 1, 4, 5, 2));
}

TEST(TurnToSpeak, OfTheOnlyRankOfAHostLeavesOutRank0) {
  const std::vector<std::string> hosts{"a", "b", "c"};
  EXPECT_EQ(turn_to_speak(1, hosts), 0);
  EXPECT_EQ(turn_to_speak(2, hosts), 1);
}

TEST(Activity, OfEveryPhaseIsOneWord) {
  Activity activity;
  std::set<std::uint64_t> words;
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Phase::writing_results); ++i) {
    const auto phase = static_cast<Phase>(i);
    activity.begin_step((1LL << 40) + i);
    activity.enter(phase);
    EXPECT_EQ(Activity::unpack(activity.packed()), (Activity::View{phase, false, (1LL << 40) + i}));
    const Activity::Waiting wait(activity);
    EXPECT_EQ(Activity::unpack(activity.packed()), (Activity::View{phase, true, (1LL << 40) + i}));
    words.insert(activity.packed());
    names.insert(name_of(phase));
  }
  EXPECT_EQ(words.size(), names.size());
  EXPECT_FALSE(Activity::unpack(activity.packed()).waiting);
}

TEST(PhaseTimes, AreThoseOfThePhasesBetweenTwoChanges) {
  using std::chrono::milliseconds;
  Activity activity;
  {
    const PhaseTimes times(activity);
    activity.enter(Phase::packing);  // before the first step: set-up
    std::this_thread::sleep_for(milliseconds(1));
    activity.begin_step(1);
    EXPECT_EQ(times.of(Phase::packing).all, milliseconds(0));
    std::this_thread::sleep_for(milliseconds(3));
    activity.enter(Phase::exchanging);
    {
      const Activity::Waiting waiting(activity);
      std::this_thread::sleep_for(milliseconds(2));
    }
    activity.enter(Phase::updating);
    EXPECT_GE(times.of(Phase::loading).all, milliseconds(3));
    EXPECT_EQ(times.of(Phase::loading).waiting, milliseconds(0));
    EXPECT_GE(times.of(Phase::exchanging).waiting, milliseconds(2));
    EXPECT_GE(times.of(Phase::exchanging).all, times.of(Phase::exchanging).waiting);
    EXPECT_EQ(times.of(Phase::updating).all, milliseconds(0));  // it has not ended
    activity.begin_step(2);
    EXPECT_EQ(times.steps(), 2);
  }
  activity.begin_step(3);  // nobody counts any more
}

TEST(Activity, ChangesWheneverTheRankGetsOn) {
  Activity activity;
  std::uint64_t last = activity.changes();
  const auto expect_change = [&] {
    EXPECT_NE(activity.changes(), last);
    last = activity.changes();
  };
  activity.begin_step(1);
  expect_change();
  activity.enter(Phase::loading);  // again
  expect_change();
  activity.progress();
  expect_change();
  {
    const Activity::Waiting wait(activity);
    expect_change();
  }
  expect_change();
}

}  // namespace
}  // namespace lockstep::comm
