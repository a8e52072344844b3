// The ranks of a team finish together.
#include "comm/team_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

using std::chrono::milliseconds;

class TeamWorkTest : public ::testing::TestWithParam<const char*> {
 protected:
  TeamWorkTest() {
    setenv("LOCKSTEP_COLLECTIVE", GetParam(), 1);
    collective_ = make_collective(world_, Parameters::block, 8);
    team_ = collective_->team();
  }
  ~TeamWorkTest() override { unsetenv("LOCKSTEP_COLLECTIVE"); }

  World world_;
  std::unique_ptr<Collective> collective_;
  Collective::Team team_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, TeamWorkTest, ::testing::Values("", "mpi", "hosts:2"), [](const auto& info) {
  std::string name = *info.param == '\0' ? "chosen" : info.param;
  std::erase(name, ':');
  return name;
});

constexpr std::int64_t most_pieces = 24;

/// So many, other on each rank and in each round; sometimes none.
std::int64_t pieces_of(int place, int round) {
  return (round + place * 5) % most_pieces;
}

/// Each rank's pieces add to its memory what it noted; on two threads each, in rounds in which ranks are late
/// in turn.
TEST_P(TeamWorkTest, DoesEachPieceOnce) {
  TeamWork work(*collective_, most_pieces + world_.rank(), 1 + world_.rank(), "numbers");
  ASSERT_EQ(work.place(), team_.place);
  ASSERT_EQ(std::ssize(work.memory(team_.place)), most_pieces + world_.rank());
  ASSERT_EQ(std::ssize(work.notes(team_.place)), 1 + world_.rank());
  for (int place = 0; place < team_.size; ++place)
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(work.memory(place).data()) % 64, 0U);

  for (int round = 1; round <= 60; ++round) {
    const std::int64_t pieces = pieces_of(team_.place, round);
    const std::span<float> own = work.memory(team_.place);
    std::ranges::fill(own, 1.0F);
    work.notes(team_.place)[0] = 100 * round + team_.place;
    if (round % world_.size() == world_.rank()) std::this_thread::sleep_for(milliseconds(1));
    {
      TeamWork::Round part(work);
      part.offer(pieces);
      const auto take_all = [&](bool is_main) {
        while (const auto piece = part.take(is_main))
          work.memory(piece->place())[static_cast<std::size_t>(piece->index())] +=
              static_cast<float>(work.notes(piece->place())[0]);
      };
      std::thread other(take_all, false);
      take_all(true);
      other.join();
      part.finish();
    }
    for (std::int64_t i = 0; i < std::ssize(own); ++i)
      EXPECT_EQ(own[static_cast<std::size_t>(i)],
                i < pieces ? 1.0F + static_cast<float>(100 * round + team_.place) : 1.0F)
          << "round " << round << ", piece " << i;
    collective_->meet_team();
  }
}

/// One of a team needs a while for each piece, so the others must have taken most of them.
TEST_P(TeamWorkTest, TakesPiecesOfThoseThatAreSlow) {
  TeamWork work(*collective_, 1, most_pieces, "numbers");
  const bool is_slow = team_.place == team_.size - 1;
  {
    TeamWork::Round part(work);
    part.offer(is_slow ? most_pieces : 0);
    while (const auto piece = part.take(true)) {
      std::this_thread::sleep_for(milliseconds(is_slow ? 20 : 1));
      work.notes(piece->place())[static_cast<std::size_t>(piece->index())] = 1 + team_.place;
    }
    part.finish();
  }
  if (!is_slow) return;
  const std::span<const std::int64_t> doers = work.notes(team_.place).first(most_pieces);
  EXPECT_THAT(doers, ::testing::Each(::testing::AllOf(::testing::Ge(1), ::testing::Le(team_.size))));
  if (team_.size > 1) {
    EXPECT_LT(std::ranges::count(doers, team_.size), most_pieces);
  }
}

TEST_P(TeamWorkTest, WaitsForNobodyWhoLeftByAnException) {
  TeamWork work(*collective_, 1, 1, "numbers");
  for (int round = 0; round < 6; ++round) {
    std::int64_t done = 0;
    bool has_left = false;
    try {
      TeamWork::Round part(work);
      if (round % team_.size == team_.place && round < 3) throw std::runtime_error("before the offer");
      part.offer(2);
      while (const auto piece = part.take(true)) {
        ++done;
        if (round % team_.size == team_.place) throw std::runtime_error("at a piece");
      }
      part.finish();
    } catch (const std::runtime_error&) {
      has_left = true;
    }
    if (round < 3 || team_.size == 1) {
      EXPECT_EQ(has_left, round % team_.size == team_.place);
    }
    std::int64_t all = done;
    world_.sum({&all, 1});  // which all reach
    std::int64_t expected = 2 * team_.size;
    if (round < 3) expected -= 2;                      // that were not offered
    if (round >= 3 && team_.size == 1) expected -= 1;  // that nobody is left to do
    if (team_.place != 0) expected = 0;
    world_.sum({&expected, 1});
    EXPECT_EQ(all, expected) << round;
  }
}

}  // namespace
}  // namespace lockstep::comm
