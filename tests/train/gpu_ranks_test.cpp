// Replicas on imagined GPUs that run ahead of their hosts, joined by NCCL's stand-in.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  explicit DigestKeeper(std::vector<std::uint64_t>& digests) : digests_(digests) {}
  void digest(const metrics::DigestRecord& record) override { digests_.push_back(record.weights); }

 private:
  std::vector<std::uint64_t>& digests_;
};

/// Of the weights, before the `time`-th hash of all of them.
struct Damage {
  int rank = 0;
  int time = 0;
  std::int64_t block = 0;
};

class GpuRanksTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t steps = 6;              // of an epoch, the last of which is smaller
  static constexpr std::int64_t samples = 32 * 5 + 13;  // of a training set
  static constexpr std::int64_t epochs = 2;

  struct Outcome {
    std::vector<std::uint64_t> digests;  // on rank 0: of the weights before each step, and in the end
    std::vector<float> weights;
    friend bool operator==(const Outcome&, const Outcome&) = default;
  };

  /// `seed` decides in which order streams do their work.
  Outcome train(std::uint64_t seed, Overrides overrides, std::optional<std::int64_t> until = std::nullopt,
                const std::optional<Damage>& damage = std::nullopt) {
    standin::configure(fmt::format("guards=0,memory_mb=256,devices=8,seed={}", seed));
    for (const char* setting : {"device.kind=cuda", "device.exchange=auto", "digests.every=1"})
      overrides.emplace_back(setting);
    overrides.insert(overrides.begin(), "model.7.units=600");  // 13 blocks of weights
    overrides.emplace_back(fmt::format("training.epochs={}", epochs));
    const Blueprint blueprint = make_blueprint(sample_experiment(data_, overrides));
    const RankDevice device = make_rank_device(world_, blueprint);
    WorkerPool workers(1, device::prepare_cpu_thread);
    std::optional<FlippingAccelerator> flipping;
    if (damage && damage->rank == world_.rank())
      flipping.emplace(*device.accelerator, blueprint.network.parameters.slab_size(), damage->time,
                       damage->block * Parameters::block);
    Outcome outcome;
    {
      Trainer trainer(world_, blueprint,
                      {.backend = *device.backend,
                       .workers = workers,
                       .max_threads = workers.size(),
                       .accelerator = flipping ? &*flipping : device.accelerator.get(),
                       .choices = device.choices});
      EXPECT_TRUE(trainer.replica().runs_ahead());
      Sinks sinks;
      if (world_.is_root()) sinks.push_back(std::make_unique<DigestKeeper>(outcome.digests));
      metrics::RunSummary summary;
      trainer.run(sinks, summary, {.until = until});
      outcome.weights.assign(trainer.weights().begin(), trainer.weights().end());
    }
    EXPECT_EQ(standin::pending_operations(), 0);
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

TEST_F(GpuRanksTest, InRunModeToo) {
  const Outcome decided_by_hosts = train(0, {"training.reproducibility=run", "checks.arithmetic_every=1"});
  for (std::uint64_t seed = 1; seed <= 6; ++seed)
    ASSERT_TRUE(train(seed, {"training.reproducibility=run", "checks.arithmetic_every=0"}) ==
                decided_by_hosts)
        << "seed " << seed;
}

/// Of layers that are done while others are not: the sums that one step asks for are several.
TEST_F(GpuRanksTest, InRunModeGradientsTravelInBuckets) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone sends nothing";
  const auto sums = [&](const char* reproducibility) {
    train(1, {fmt::format("training.reproducibility={}", reproducibility), "checks.arithmetic_every=0"}, 1);
    return standin::calls("ncclAllReduce");
  };
  EXPECT_GE(sums("run") - sums("lockstep"), 2) << "in one step, beside those that connect the ranks";
}

/// Nothing of the step behind it, which could have begun.
TEST_F(GpuRanksTest, StopsBehindAnyStepWithWhatThatStepLeft) {
  const Outcome whole = train(1, never_checked);
  for (std::int64_t until = 1; until < epochs * steps; ++until) {
    const Outcome part = train(1, never_checked, until);
    if (!world_.is_root()) continue;
    ASSERT_GE(part.digests.size(), 2U);
    EXPECT_TRUE(std::ranges::equal(part.digests, std::span(whole.digests).first(part.digests.size())))
        << "until " << until;
  }
}

/// A rank among others hashes all its weights once in each step, and its own part when it has written that.
TEST_F(GpuRanksTest, WeightsThatChangeInADevicesMemoryAreRepairedAndNoStepIsLost) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  const Overrides repair{"checks.arithmetic_every=0", "checks.memory=repair"};
  const Outcome undisturbed = train(1, repair);
  const int last = world_.size() - 1;
  for (const int time : {2, 3, 4, 5})
    for (const std::int64_t block : {0, 12})
      EXPECT_TRUE(train(1, repair, std::nullopt, Damage{.rank = last, .time = time, .block = block}) ==
                  undisturbed)
          << "look " << time << ", block " << block;
}

TEST_F(GpuRanksTest, OrEndTheTraining) {
  // A rank alone has written all of them: at first, and in the first step.
  const int time = world_.size() == 1 ? 4 : 2;
  const std::string text =
      error_of(never_checked, Damage{.rank = world_.size() - 1, .time = time, .block = 0});
  EXPECT_THAT(text, HasSubstr("before step 2: bits of the weights (dense_2.weight"));
  EXPECT_THAT(text, HasSubstr(fmt::format("rank {} on ", world_.size() - 1)));
}

TEST_F(GpuRanksTest, ADivergedTrainingSaysWhatItSaysWhereTheHostsDecide) {
  for (const char* setting : {"data.scale=1e6", "data.scale=1", "data.scale=1e-2"}) {
    const Overrides overrides{setting, "optimizer={sgd: {learning_rate: 1000}}", "schedule={constant: {}}",
                              "model=[{flatten: {}}, {dense: {units: 60}}, {relu: {}}, {dense: {units: 60}}, "
                              "{relu: {}}, {dense: {units: 60}}, {relu: {}}, {dense: {units: 4}}]"};
    const auto error_with = [&](const Overrides& checked) {
      Overrides all = overrides;
      all.insert(all.end(), checked.begin(), checked.end());
      return error_of(all);
    };
    const std::string text = error_with(never_checked);
    EXPECT_THAT(text, HasSubstr("is not finite")) << setting;
    EXPECT_EQ(text, error_with(always_checked)) << setting;
  }
}

}  // namespace
}  // namespace lockstep::train
