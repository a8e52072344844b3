#include "train/meter.h"

#include <gtest/gtest.h>

#include <bit>

#include "comm/collective.h"
#include "comm/reduction_tree.h"
#include "train/divergence.h"
#include "train/status.h"

namespace lockstep::train {
namespace {

/// Losses whose sum depends on the order of additions.
device::Totals totals_of(std::int64_t shard, std::int64_t step) {
  const double loss = 1.0 / static_cast<double>(3 + shard * 7 + step) * (shard % 3 == 0 ? 1e12 : 1e-3);
  return {.loss = loss, .correct = shard + step, .samples = 16 + step};
}

TEST(MeterOnRanks, AddsStepsInOrderThenShardsInTheTreeWhateverTheRanks) {
  comm::World world;
  for (const std::int64_t total : {8, 16, 64}) {
    const Range shards = comm::shards_of_rank(total, world.size(), world.rank());
    Meter meter(shards, total);
    constexpr std::int64_t steps = 5;
    std::vector<device::Totals> expected(static_cast<std::size_t>(total));
    for (std::int64_t step = 0; step < steps; ++step) {
      std::vector<device::Totals> own;
      for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
        own.push_back(totals_of(shard, step));
      meter.add(own);
      for (std::int64_t shard = 0; shard < total; ++shard)
        expected[static_cast<std::size_t>(shard)] += totals_of(shard, step);
    }
    const device::Totals sum = meter.reduce(world);
    const device::Totals wanted = comm::tree_sum(expected);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum.loss), std::bit_cast<std::uint64_t>(wanted.loss));
    EXPECT_EQ(sum.correct, wanted.correct);
    EXPECT_EQ(sum.samples, wanted.samples);

    meter.reset();
    EXPECT_EQ(meter.reduce(world).samples, 0);
  }
}

TEST(StatusOnRanks, MeansAreOverAllRanks) {
  comm::World world;
  RankStatus own;
  own.totals = {.loss = 2.5 * (world.rank() + 1), .correct = world.rank(), .samples = 10};
  const StepStatus status = share_status(world, own);
  const int ranks = world.size();
  EXPECT_FALSE(status.stop_requested);
  EXPECT_FALSE(status.diverged);
  ASSERT_TRUE(status.loss.has_value());
  EXPECT_NEAR(*status.loss, 2.5 * (ranks + 1) / 2 / 10, 1e-5);
  EXPECT_EQ(status.correct, ranks * (ranks - 1) / 2);
  EXPECT_EQ(status.samples, 10 * ranks);
}

TEST(StatusOnRanks, ALargeLossIsNoDivergenceOnAnyNumberOfRanks) {
  comm::World world;
  for (const double large : {1e7, 1e9, 1e12}) {
    RankStatus own;
    own.totals = {.loss = large * (world.rank() + 1), .correct = 0, .samples = 16};
    const StepStatus status = share_status(world, own);
    ASSERT_TRUE(status.loss.has_value());
    EXPECT_NEAR(*status.loss / (large * (world.size() + 1) / 2 / 16), 1, 1e-6);
  }
}

TEST(StatusOnRanks, WhatOneRankKnowsAllLearn) {
  comm::World world;
  for (int who = 0; who < world.size(); ++who) {
    RankStatus own;
    own.totals = {.loss = 1, .correct = 1, .samples = 1};
    own.stop_requested = world.rank() == who;
    EXPECT_TRUE(share_status(world, own).stop_requested);
    own.stop_requested = false;
    own.diverged = world.rank() == who;
    EXPECT_TRUE(share_status(world, own).diverged);
    own.diverged = false;
    if (world.rank() == who) own.totals.loss = std::numeric_limits<double>::quiet_NaN();
    EXPECT_FALSE(share_status(world, own).loss.has_value());
  }
}

TEST(StatusOnRanks, AFailureOfOneRankIsThrownOnAll) {
  comm::World world;
  for (int who = 0; who < world.size(); ++who) {
    RankStatus own;
    if (world.rank() == who)
      own.failure =
          std::make_exception_ptr(Error(ExitCode::bad_data, "worker of rank " + std::to_string(who)));
    try {
      share_status(world, own);
      FAIL() << "nothing was thrown";
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_data);
      EXPECT_NE(std::string(error.what()).find("worker of rank " + std::to_string(who)), std::string::npos);
    }
  }
}

TEST(DivergenceOnRanks, NamesTheFirstTensorOfAllRanks) {
  comm::World world;
  Parameters parameters;
  for (int i = 0; i < 8; ++i) parameters.declare("layer" + std::to_string(i) + ".weight", {100});
  using Where = NotFinite::Where;
  const std::vector<std::pair<Where, std::string>> kinds{{Where::gradient, "the gradient of"},
                                                         {Where::weight, "a new weight in"},
                                                         {Where::optimizer_state, "the optimizer state of"}};
  // Each rank but the last found something; the lower the rank, the later in the slab.
  std::optional<NotFinite> own;
  if (world.rank() + 1 < world.size() || world.size() == 1)
    own = NotFinite{parameters[7 - world.rank()].offset + 3, kinds[world.rank() % 3].first};
  const int deciding = std::max(world.size() - 2, 0);
  try {
    throw_divergence(world, parameters, {.epoch = 3, .step = 17, .steps = 79, .last_good_loss = 0.25}, own);
  } catch (const comm::AgreedError& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), ExitCode::bad_data);
    EXPECT_NE(message.find("epoch 3, step 17 of 79"), std::string::npos) << message;
    const std::string what =
        kinds[deciding % 3].second + " layer" + std::to_string(7 - deciding) + ".weight is not finite";
    EXPECT_NE(message.find(what), std::string::npos) << message;
    EXPECT_NE(message.find("0.25"), std::string::npos) << message;
  }
}

// No rank can tell what another found at the same place, so one order decides.
TEST(DivergenceOnRanks, AtOnePlaceTheCauseComesBeforeWhatItSpoilt) {
  using Where = NotFinite::Where;
  comm::World world;
  Parameters parameters;
  parameters.declare("fc1.weight", {100});
  const std::vector<Where> kinds{Where::optimizer_state, Where::weight, Where::gradient};
  const std::vector<std::string> expected{"the optimizer state of fc1.weight", "a new weight in fc1.weight",
                                          "the gradient of fc1.weight"};
  // Rank 0 met the last, rank 1 what comes before it, all others the first.
  const auto kind = static_cast<std::size_t>(std::min(world.rank(), 2));
  const auto deciding = static_cast<std::size_t>(std::min(world.size() - 1, 2));
  try {
    throw_divergence(world, parameters, {}, NotFinite{41, kinds[kind]});
  } catch (const comm::AgreedError& error) {
    EXPECT_NE(std::string(error.what()).find(expected[deciding] + " is not finite"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace lockstep::train
