// Replicas on imagined GPUs that run ahead of their hosts, joined by NCCL's stand-in.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/fault.h"
#include "comm/world.h"
#include "control.h"
#include "support/temporary_folder.h"
#include "train/flipping_accelerator.h"
#include "train/rank_device.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::FlippingAccelerator;
using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::HasSubstr;
using Overrides = std::vector<std::string>;

class DigestKeeper final : public metrics::Sink {
 public:
  DigestKeeper(std::vector<std::uint64_t>& digests, std::vector<std::int64_t>& launches)
      : digests_(digests), launches_(launches) {}
  /// In a step, before its update.
  void digest(const metrics::DigestRecord& record) override {
    digests_.push_back(record.weights);
    launches_.push_back(standin::calls("cudaGraphLaunch"));
  }

 private:
  std::vector<std::uint64_t>& digests_;
  std::vector<std::int64_t>& launches_;
};

/// Of the weights, before the look of a step.
struct Damage {
  int rank = 0;
  int step = 0;
  std::int64_t block = 0;
};

class GpuRanksTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t steps = 6;  // of an epoch, the last of which is smaller
  static constexpr std::int64_t samples =
      32 * 5 + 1;  // of a training set: in the last step some rank has none
  static constexpr std::int64_t epochs = 2;

  struct Outcome {
    std::vector<std::uint64_t> digests;  // on rank 0: of the weights before each step, and in the end
    std::vector<float> weights;          // the same on all ranks
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };

  /// `seed` decides in which order streams do their work.
  Outcome train(std::uint64_t seed, Overrides overrides, std::optional<std::int64_t> until = std::nullopt,
                const std::optional<Damage>& damage = std::nullopt) {
    standin::configure(fmt::format("guards=0,memory_mb=256,devices=8,seed={}", seed));
    const Overrides always{"device.kind=cuda", "digests.every=1", fmt::format("training.epochs={}", epochs),
                           "model.7.units=600"};  // 13 blocks of weights
    overrides.insert(overrides.begin(), always.begin(), always.end());
    const Blueprint blueprint = make_blueprint(sample_experiment(data_, overrides));
    const RankDevice device = make_rank_device(world_, blueprint);
    WorkerPool workers(1, device::prepare_cpu_thread);
    std::optional<FlippingAccelerator> flipping;
    // All weights are hashed in each look, and by those who write all of them also when they have, at first
    // too.
    const bool writes_all =
        world_.size() == 1 || blueprint.experiment.training.reproducibility == config::Reproducibility::run;
    if (damage && damage->rank == world_.rank())
      flipping.emplace(*device.accelerator, blueprint.network.parameters.slab_size(),
                       writes_all ? 2 * damage->step : damage->step, damage->block * Parameters::block);
    Outcome outcome;
    {
      Trainer trainer(world_, blueprint,
                      {.backend = *device.backend,
                       .workers = workers,
                       .accelerator = flipping ? &*flipping : device.accelerator.get(),
                       .choices = device.choices});
      Sinks sinks;
      launches_.clear();
      if (world_.is_root()) sinks.push_back(std::make_unique<DigestKeeper>(outcome.digests, launches_));
      metrics::RunSummary summary;
      trainer.run(sinks, summary, {.until = until});
      outcome.weights.assign(trainer.weights().begin(), trainer.weights().end());
    }
    EXPECT_EQ(standin::pending_operations(), 0);
    std::vector<float> of_root = outcome.weights;
    world_.broadcast_into(std::as_writable_bytes(std::span(of_root)));
    EXPECT_EQ(outcome.weights, of_root);
    return outcome;
  }

  std::string error_of(const Overrides& overrides, const std::optional<Damage>& damage = std::nullopt) {
    try {
      train(1, overrides, std::nullopt, damage);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  comm::World world_;
  lockstep::testing::TemporaryFolder folder_;  // one for each rank
  std::vector<std::int64_t> launches_;         // of graphs, before the update of each step; on rank 0
  std::string data_ = write_samples(folder_.file("data.h5"), samples);
};

const Overrides never_checked{"checks.arithmetic_every=0"};
/// Then the hosts decide about every update.
const Overrides always_checked{"checks.arithmetic_every=1"};

TEST_F(GpuRanksTest, RunningAheadComesToTheBitsOfHostsThatDecide) {
  const Outcome decided_by_hosts = train(0, always_checked);
  for (const char* place : {"device.data=device", "device.data=host"})
    for (const int every : {0, 4})
      for (std::uint64_t seed = 1; seed <= 3; ++seed)
        ASSERT_TRUE(train(seed, {place, fmt::format("checks.arithmetic_every={}", every)}) ==
                    decided_by_hosts)
            << place << ", every " << every << ", seed " << seed;
}

TEST_F(GpuRanksTest, WhateverElseIsDoneBetweenTwoSteps) {
  for (const char* setting : {"training.average={from_epoch: 1, every_steps: 2}", "checks.memory=off",
                              "optimizer={sgd: {learning_rate: 0.05, momentum: 0.9}}"})
    EXPECT_TRUE(train(1, {setting, "checks.arithmetic_every=0"}) ==
                train(1, {setting, "checks.arithmetic_every=1"}))
        << setting;
}

/// Wherever the images are: one step's are copied while the backward pass of another reads its own.
TEST_F(GpuRanksTest, InRunModeToo) {
  const Outcome decided_by_hosts = train(0, {"training.reproducibility=run", "checks.arithmetic_every=1"});
  for (const char* place : {"device.data=device", "device.data=host"})
    for (std::uint64_t seed = 1; seed <= 6; ++seed)
      ASSERT_TRUE(train(seed, {"training.reproducibility=run", "checks.arithmetic_every=0", place}) ==
                  decided_by_hosts)
          << place << ", seed " << seed;
}

/// Sums of two numbers are the same in any order.
TEST_F(GpuRanksTest, InRunModeTheBucketsAreAllOfTheGradient) {
  if (world_.size() != 2) GTEST_SKIP() << "not run: for two ranks";
  const Overrides run{"training.reproducibility=run", "checks.arithmetic_every=0"};
  Overrides through_hosts = run;
  through_hosts.emplace_back("device.exchange=mpi");
  EXPECT_TRUE(train(1, run) == train(1, through_hosts));
}

/// A fault on one rank changes how it computes, and not what it sends.
TEST_F(GpuRanksTest, InRunModeWithAFaultOnOneRank) {
  const Overrides run{"training.reproducibility=run", "faults=[kill: {rank: 0, step: 1000000}]"};
  fault::arm(std::vector<fault::Fault>{{.rank = world_.size() - 1, .step = 4, .spec = fault::Nan{}}},
             world_.rank(), 1);
  EXPECT_THAT(error_of(run), HasSubstr("epoch 1, step 4 of 6: the gradient of "));
  fault::arm({}, 0, 0);
}

/// When the hosts agree on a step, the next is on its way, but for the last of an epoch.
TEST_F(GpuRanksTest, TheNextStepIsQueuedBeforeTheHostsAgree) {
  constexpr std::int64_t graphs = 2;
  const auto launches = [&](const Overrides& overrides) {
    train(1, overrides);
    std::vector<std::int64_t> differences(launches_.size());
    std::adjacent_difference(launches_.begin(), launches_.end(), differences.begin());
    return differences;
  };
  const auto ahead = launches({"checks.arithmetic_every=0", "training.epochs=4"});
  const auto decided = launches(always_checked);
  if (!world_.is_root()) return;
  const std::size_t last = ahead.size() - 2;  // step of the training; behind it the final weights
  EXPECT_EQ(ahead[last], 0);
  EXPECT_EQ(ahead[last - 1], graphs);
  EXPECT_GT(decided[decided.size() - 2], 0);
}

/// Of layers that are done while others are not: the sums that one step asks for are several.
TEST_F(GpuRanksTest, InRunModeGradientsTravelInBuckets) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone sends nothing";
  const auto sums = [&](const char* reproducibility) {
    train(1, {fmt::format("training.reproducibility={}", reproducibility), "checks.arithmetic_every=0"}, 1);
    return standin::calls("ncclAllReduce");
  };
  // Each bucket once before the training, to connect the ranks, and once in the step.
  EXPECT_GE(sums("run") - sums("lockstep"), 2 * 2);
}

/// Nothing of the step behind it, which could have begun.
TEST_F(GpuRanksTest, StopsBehindAnyStepWithWhatThatStepLeft) {
  const Outcome whole = train(1, never_checked);
  for (std::int64_t until = 1; until < epochs * steps; ++until) {
    const Outcome part = train(1, never_checked, until);
    if (!world_.is_root()) continue;
    ASSERT_EQ(std::ssize(part.digests), until + 1);
    EXPECT_TRUE(std::ranges::equal(part.digests, std::span(whole.digests).first(part.digests.size())))
        << "until " << until;
  }
}

Overrides with(Overrides overrides, const std::string& more) {
  overrides.push_back(more);
  return overrides;
}

TEST_F(GpuRanksTest, WeightsThatChangeInADevicesMemoryAreRepairedAndNoStepIsLost) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  const int last = world_.size() - 1;
  for (const char* mode : {"training.reproducibility=lockstep", "training.reproducibility=run"}) {
    const Overrides repair{mode, "checks.arithmetic_every=0", "checks.memory=repair"};
    const Outcome undisturbed = train(1, repair);
    for (const int step : {2, 3, 4, 5})
      for (const std::int64_t block : {0, 12})
        EXPECT_TRUE(train(1, repair, std::nullopt, Damage{.rank = last, .step = step, .block = block}) ==
                    undisturbed)
            << mode << ", step " << step << ", block " << block;
  }
}

TEST_F(GpuRanksTest, OrEndTheTraining) {
  const int last = world_.size() - 1;
  for (const char* mode : {"training.reproducibility=lockstep", "training.reproducibility=run"}) {
    const std::string text = error_of(with(never_checked, mode), Damage{.rank = last, .step = 2, .block = 0});
    EXPECT_THAT(text, HasSubstr("before step 2: bits of the weights (dense_2.weight")) << mode;
    EXPECT_THAT(text, HasSubstr(fmt::format("rank {} on ", last))) << mode;
  }
}

TEST_F(GpuRanksTest, ADivergedTrainingSaysWhatItSaysWhereTheHostsDecide) {
  for (const char* mode : {"training.reproducibility=lockstep", "training.reproducibility=run"})
    for (const char* scale : {"data.scale=1e6", "data.scale=1", "data.scale=1e-2"}) {
      const Overrides overrides{
          mode, scale, "optimizer={sgd: {learning_rate: 1000}}", "schedule={constant: {}}",
          "model=[{flatten: {}}, {dense: {units: 60}}, {relu: {}}, {dense: {units: 60}}, "
          "{relu: {}}, {dense: {units: 60}}, {relu: {}}, {dense: {units: 4}}]"};
      const std::string text = error_of(with(overrides, never_checked.front()));
      EXPECT_THAT(text, HasSubstr("is not finite")) << mode << ", " << scale;
      EXPECT_EQ(text, error_of(with(overrides, always_checked.front()))) << mode << ", " << scale;
    }
}

}  // namespace
}  // namespace lockstep::train
