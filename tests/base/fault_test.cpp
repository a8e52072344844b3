#include "base/fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <vector>

#include "base/error.h"

namespace lockstep::fault {
namespace {

constexpr std::uint64_t seed = 5;
constexpr Range shards{2, 6};

class FaultTest : public ::testing::Test {
 protected:
  void TearDown() override { arm({}, 0, seed); }

  /// Index and changed bits of every number of a gradient of ones that the rank's shards compute in a step.
  struct Damage {
    std::int64_t shard;
    std::size_t element;
    std::uint32_t bits;
    friend bool operator==(const Damage&, const Damage&) = default;
  };
  static std::vector<Damage> damage_of_step(std::int64_t step) {
    begin_step(step);
    std::vector<Damage> found;
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      std::vector<float> gradient(100, 1.0F);
      damage_gradient(shards, shard, gradient);
      for (std::size_t i = 0; i < gradient.size(); ++i)
        if (gradient[i] != 1.0F)
          found.push_back(
              {shard, i, std::bit_cast<std::uint32_t>(gradient[i]) ^ std::bit_cast<std::uint32_t>(1.0F)});
    }
    return found;
  }
};

TEST_F(FaultTest, NothingHappensWhereNothingIsArmed) {
  begin_step(1);
  EXPECT_FALSE(any());
  EXPECT_FALSE(take_flip(Target::owned_weight, 0));
  EXPECT_FALSE(take_io_error());
  EXPECT_FALSE(take_miscompute());
  stall(Place::compute);
  arm(std::vector<Fault>{{.rank = 1, .step = 1, .spec = Kill{}}}, 0, seed);
  EXPECT_FALSE(any()) << "it is another rank's";
}

TEST_F(FaultTest, AFlipHappensOnceInItsStepOnly) {
  arm(
      std::vector<Fault>{
          {.rank = 3, .step = 2, .spec = Flip{.target = Target::copied_weight, .element = 7, .bit = 31}}},
      3, seed);
  for (const std::int64_t step : {1, 2, 3}) {
    begin_step(step);
    EXPECT_FALSE(take_flip(Target::owned_weight, 5));
    const auto due = take_flip(Target::copied_weight, 5);
    ASSERT_EQ(due.has_value(), step == 2);
    if (due) {
      EXPECT_EQ(due->element, 2U);
      EXPECT_EQ(due->bit, 31);
    }
    EXPECT_FALSE(take_flip(Target::copied_weight, 5));
  }
}

TEST_F(FaultTest, WhatIsLeftOpenFollowsTheSeedAndTheStep) {
  const auto drawn_with = [](std::uint64_t with_seed, std::int64_t step) {
    arm(std::vector<Fault>{{.rank = 0, .step = step, .spec = Flip{}}}, 0, with_seed);
    begin_step(step);
    const auto due = take_flip(Target::owned_weight, 1 << 30);
    EXPECT_TRUE(due.has_value());
    EXPECT_LT(due->bit, 32);
    return due->element;
  };
  EXPECT_EQ(drawn_with(1, 1), drawn_with(1, 1));
  EXPECT_NE(drawn_with(1, 1), drawn_with(2, 1));
  EXPECT_NE(drawn_with(1, 1), drawn_with(1, 2));
}

TEST_F(FaultTest, AFlipOfWhatThereIsNotIsAnError) {
  arm(std::vector<Fault>{{.rank = 0, .step = 1, .spec = Flip{.target = Target::optimizer_state}}}, 0, seed);
  begin_step(1);
  try {
    take_flip(Target::optimizer_state, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_config);
    EXPECT_STREQ(error.what(), "a fault is to flip a bit on rank 0 in step 1, which has no optimizer state");
  }
}

TEST_F(FaultTest, AGradientOfOneShardIsDamaged) {
  arm(std::vector<Fault>{{.rank = 0,
                          .step = 2,
                          .spec = Flip{.target = Target::gradient, .element = 11, .bit = 4, .shard = 1}},
                         {.rank = 0, .step = 3, .spec = Flip{.target = Target::gradient}}},
      0, seed);
  EXPECT_TRUE(damage_of_step(1).empty());
  EXPECT_EQ(damage_of_step(2), (std::vector<Damage>{{.shard = 3, .element = 11, .bits = 1U << 4U}}));
  const std::vector<Damage> drawn_one = damage_of_step(3);
  ASSERT_EQ(drawn_one.size(), 1U);
  EXPECT_EQ(std::popcount(drawn_one.front().bits), 1);
  EXPECT_TRUE(damage_of_step(3).empty()) << "once";
}

TEST_F(FaultTest, NanComesIntoAGradient) {
  arm(std::vector<Fault>{{.rank = 0, .step = 1, .spec = Nan{.element = 101, .shard = 4}}}, 0, seed);
  begin_step(1);
  std::vector<float> gradient(100, 1.0F);
  damage_gradient(shards, 3, gradient);
  EXPECT_EQ(gradient[1], 1.0F);
  damage_gradient(shards, 2, gradient);
  EXPECT_TRUE(std::isnan(gradient[1]));
}

TEST_F(FaultTest, TheNextWriteFailsOnceFromTheStepOn) {
  arm(std::vector<Fault>{{.rank = 0, .step = 3, .spec = IoError{}}}, 0, seed);
  begin_step(2);
  EXPECT_FALSE(take_io_error());
  begin_step(4);
  EXPECT_TRUE(take_io_error());
  EXPECT_FALSE(take_io_error());
}

TEST_F(FaultTest, MiscomputingNeedsNoStep) {
  arm(std::vector<Fault>{{.rank = 0, .step = 9, .spec = Miscompute{}}}, 0, seed);
  EXPECT_TRUE(take_miscompute());
  EXPECT_FALSE(take_miscompute());
}

TEST_F(FaultTest, KillIsAKill) {
  const std::vector<Fault> faults{{.rank = 0, .step = 2, .spec = Kill{}}};
  EXPECT_EXIT(
      {
        arm(faults, 0, seed);
        begin_step(1);
        begin_step(2);
      },
      ::testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace lockstep::fault
