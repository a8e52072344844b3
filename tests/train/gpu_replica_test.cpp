// A replica on an imagined GPU, whose work is done in hundreds of legal orders.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "comm/world.h"
#include "control.h"
#include "support/temporary_folder.h"
#include "train/rank_device.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;

class GpuReplicaTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t steps = 5;  // of an epoch, the last of which is smaller
  static constexpr std::int64_t samples = 32 * 4 + 13;

  /// Two epochs of a network with every kind of layer: each step is queued piece by piece, captured,
  /// replayed.
  std::vector<float> train(std::uint64_t seed, const std::vector<std::string>& more = {}) {
    standin::configure(fmt::format("guards=0,memory_mb=256,seed={}", seed));
    std::vector<std::string> overrides{"device.kind=cuda", "training.epochs=2", "device.branches=3",
                                       "checks.arithmetic_every=4"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    const Blueprint blueprint = make_blueprint(sample_experiment(data_, overrides));
    const RankDevice device = make_rank_device(world_, blueprint);
    WorkerPool workers(1, device::prepare_cpu_thread);
    std::vector<float> weights;
    {
      Trainer trainer(world_, blueprint,
                      {.backend = *device.backend,
                       .workers = workers,
                       .accelerator = device.accelerator.get(),
                       .choices = device.choices});
      metrics::RunSummary summary;
      trainer.run({}, summary, {});
      weights.assign(trainer.weights().begin(), trainer.weights().end());
    }
    EXPECT_EQ(standin::pending_operations(), 0);
    return weights;
  }

  comm::World world_;
  lockstep::testing::TemporaryFolder folder_;
  std::string data_ = write_samples(folder_.file("data.h5"), samples);
};

TEST_F(GpuReplicaTest, TwoHundredOrdersOfStreamsGiveTheSameBits) {
  const std::uint64_t orders = standin::is_linked() ? 200 : 10;  // a real GPU has its own
  const std::vector<float> as_late_as_possible = train(0);
  for (std::uint64_t seed = 1; seed <= orders; ++seed)
    ASSERT_TRUE(train(seed) == as_late_as_possible) << "seed " << seed;
}

TEST_F(GpuReplicaTest, OrdersGiveTheSameBitsWhereverImagesAreAndHoweverGradientsAreAdded) {
  for (const std::vector<std::string>& way :
       {std::vector<std::string>{"device.data=host"},
        {"training.reproducibility=run"},
        {"training.reproducibility=run", "device.data=host", "checks.arithmetic_every=0"}}) {
    const std::vector<float> as_late_as_possible = train(0, way);
    for (std::uint64_t seed = 1; seed <= 10; ++seed)
      ASSERT_TRUE(train(seed, way) == as_late_as_possible) << "seed " << seed << ", " << way.front();
  }
}

TEST_F(GpuReplicaTest, LeavesNothingBehind) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  train(1);
  EXPECT_TRUE(standin::live_handles().empty());
}

/// What is done in a step does not grow: two graphs, and one wait of the host; one in the validation.
TEST_F(GpuReplicaTest, AStepIsTwoLaunches) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  train(1, {"training.epochs=6", "checks.arithmetic_every=0"});
  const std::int64_t six = standin::calls("cudaGraphLaunch");
  train(1, {"training.epochs=7", "checks.arithmetic_every=0"});
  constexpr std::int64_t validation = 3;  // steps of it
  constexpr std::int64_t graphs = 2;      // up to the report, and from the exchange on
  EXPECT_EQ(standin::calls("cudaGraphLaunch") - six, steps * graphs + validation);
}

/// One pass over all that the rank has, instead of eight over its shards.
TEST_F(GpuReplicaTest, InRunModeAStepIsFewOperations) {
  if (!standin::is_linked()) GTEST_SKIP() << "not run: needs the stand-in for a GPU";
  const auto operations = [&](const char* reproducibility) {
    const auto of = [&](int epochs) {
      train(1, {fmt::format("training.reproducibility={}", reproducibility), "checks.arithmetic_every=0",
                fmt::format("training.epochs={}", epochs), "training.validate_every=100"});
      return standin::calls("operation");
    };
    return of(7) - of(6);
  };
  EXPECT_LT(4 * operations("run"), operations("lockstep"));
}

}  // namespace
}  // namespace lockstep::train
