// Replicas in an accelerator's memory. The accelerator here has the CPU's arithmetic, so that a training must
// come to the very bits of one in the host's memory, whatever the device, the exchange and the ranks.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <tuple>

#include "base/fault.h"
#include "comm/world.h"
#include "comm_device/host_accelerator.h"
#include "support/temporary_folder.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::HostAccelerator;
using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::HasSubstr;
using Overrides = std::vector<std::string>;

/// Weights after each step; optimizer state, order of samples and metrics of each epoch.
class DigestKeeper final : public metrics::Sink {
 public:
  using Line = std::tuple<std::int64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
  explicit DigestKeeper(std::vector<Line>& lines) : lines_(lines) {}
  void digest(const metrics::DigestRecord& record) override {
    const metrics::EpochDigests epoch = record.at_epoch_end.value_or(metrics::EpochDigests{});
    lines_.emplace_back(record.step, record.weights, epoch.optimizer, epoch.samples, epoch.metrics);
  }

 private:
  std::vector<Line>& lines_;
};

struct Outcome {
  std::vector<DigestKeeper::Line> digests;
  std::vector<float> weights;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

class DeviceReplicaTest : public ::testing::Test {
 protected:
  ~DeviceReplicaTest() override { fault::arm({}, 0, 0); }

  static constexpr std::int64_t samples = 32 * 2 + 13;  // the third step of an epoch is smaller

  /// Three epochs, in which every step is queued piece by piece, then captured, then replayed.
  Outcome train(bool on_device, Overrides overrides, const std::vector<fault::Fault>& faults = {}) {
    overrides.emplace_back("model.7.units=600");  // 7 blocks of weights
    overrides.emplace_back("training.epochs=3");
    // One that never comes: where there are faults, an experiment says so.
    if (!faults.empty()) overrides.emplace_back("faults=[kill: {rank: 0, step: 1000000}]");
    const Blueprint blueprint = make_blueprint(sample_experiment(data_, overrides));
    const auto backend = device::make_cpu_backend();
    WorkerPool workers(1, device::prepare_cpu_thread);
    HostAccelerator accelerator({.index = world_.rank(), .unique_id = fmt::format("HOST-{}", world_.rank())});
    Trainer trainer(
        world_, blueprint,
        {.backend = *backend, .workers = workers, .accelerator = on_device ? &accelerator : nullptr});
    fault::arm(faults, world_.rank(), blueprint.experiment.seed);
    Outcome outcome;
    Sinks sinks;
    sinks.push_back(std::make_unique<DigestKeeper>(outcome.digests));
    metrics::RunSummary summary;
    trainer.run(sinks, summary, {});
    outcome.weights.assign(trainer.weights().begin(), trainer.weights().end());
    return outcome;
  }

  void expect_equal(const Overrides& overrides, const Overrides& of_device = {}) {
    Overrides all = overrides;
    all.insert(all.end(), of_device.begin(), of_device.end());
    const Outcome host = train(false, overrides);
    ASSERT_EQ(host.digests.size(), 1 + 3 * 3U);
    EXPECT_EQ(train(true, all), host) << fmt::format("{}", fmt::join(all, " "));
  }

  std::string error_of(bool on_device, const Overrides& overrides, const std::vector<fault::Fault>& faults) {
    try {
      train(on_device, overrides, faults);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  comm::World world_;
  lockstep::testing::TemporaryFolder folder_;  // one for each rank
  std::string data_ = write_samples(folder_.file("data.h5"), samples);
};

TEST_F(DeviceReplicaTest, TrainsToTheBitsOfTheHost) {
  expect_equal({});
  expect_equal({"data.shuffle=global", "checks.arithmetic_every=1"});
  expect_equal({"data.shuffle=none", "checks.memory=off", "checks.arithmetic_every=2"});
}

TEST_F(DeviceReplicaTest, WithEachOptimizer) {
  for (const char* sgd : {"{sgd: {learning_rate: 0.05}}", "{sgd: {learning_rate: 0.05, momentum: 0.9}}",
                          "{sgd: {learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01}}"})
    expect_equal({fmt::format("optimizer={}", sgd)});
}

TEST_F(DeviceReplicaTest, WhereverTheSamplesAreAndHoweverManyBranches) {
  for (const char* place : {"device", "host"})
    for (const int branches : {1, 2, 3})
      expect_equal({}, {fmt::format("device.data={}", place), fmt::format("device.branches={}", branches)});
}

/// The arithmetic check computes a shard again from images that the host distorts.
TEST_F(DeviceReplicaTest, WithDistortedImagesAndTheAverageOfWeights) {
  for (const char* place : {"device", "host"})
    expect_equal({"data.augment={shift: 2, rotate: 20, shear: 0.1, zoom: 0.2}", "checks.arithmetic_every=2",
                  "training.average={from_epoch: 2, every_steps: 2}"},
                 {fmt::format("device.data={}", place)});
}

TEST_F(DeviceReplicaTest, MoreShardsThanSamplesInTheLastStep) {
  expect_equal({"training.shards=16"});
}

/// All that a rank has at once, but in the steps whose arithmetic is checked: other sums, and no other
/// numbers from dropout.
TEST_F(DeviceReplicaTest, InRunModeCloseToTheHost) {
  const Outcome host = train(false, {"training.reproducibility=run"});
  const Outcome device = train(true, {"training.reproducibility=run", "checks.arithmetic_every=0"});
  ASSERT_EQ(device.digests.size(), host.digests.size());
  ASSERT_EQ(device.weights.size(), host.weights.size());
  for (std::size_t i = 0; i < host.weights.size(); ++i)
    ASSERT_NEAR(device.weights[i], host.weights[i], 1e-4) << i;
  for (const char* place : {"device", "host"})
    for (const int every : {1, 2})
      EXPECT_EQ(train(true, {"training.reproducibility=run", fmt::format("device.data={}", place),
                             fmt::format("checks.arithmetic_every={}", every)}),
                device)
          << place << " " << every;
}

TEST_F(DeviceReplicaTest, InRunModeFaultsAreFoundAsOnTheHost) {
  const Overrides run{"training.reproducibility=run", "checks.arithmetic_every=0"};
  const std::vector<fault::Fault> nan{{.rank = 0, .step = 5, .spec = fault::Nan{}}};
  const std::string text = error_of(true, run, nan);
  EXPECT_THAT(text, HasSubstr("epoch 2, step 2 of 3: the gradient of "));
  EXPECT_EQ(text, error_of(false, run, nan));
  const std::vector<fault::Fault> flips{
      {.rank = 0, .step = 2, .spec = fault::Flip{.target = fault::Target::optimizer_state}}};
  EXPECT_THAT(error_of(true, run, flips), HasSubstr("before step 2: bits of the optimizer's state"));
}

TEST_F(DeviceReplicaTest, DamagedWeightsAreRepairedAsOnTheHost) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  const std::vector<fault::Fault> flips{
      {.rank = 0,
       .step = 2,
       .spec = fault::Flip{.target = fault::Target::owned_weight, .element = 5, .bit = 22}}};
  const Outcome undisturbed = train(true, {"checks.memory=repair"});
  EXPECT_EQ(train(true, {"checks.memory=repair"}, flips), undisturbed);
  EXPECT_NE(train(true, {"checks.memory=off"}, flips), undisturbed) << "there is nothing to repair";
}

TEST_F(DeviceReplicaTest, DamagedOptimizerStateIsTheEnd) {
  const std::vector<fault::Fault> flips{
      {.rank = 0, .step = 2, .spec = fault::Flip{.target = fault::Target::optimizer_state}}};
  EXPECT_THAT(error_of(true, {}, flips), HasSubstr("before step 2: bits of the optimizer's state"));
}

TEST_F(DeviceReplicaTest, ADivergedTrainingSaysWhatItSaysOnTheHost) {
  const std::vector<fault::Fault> nan{{.rank = 0, .step = 5, .spec = fault::Nan{}}};
  const std::string text = error_of(true, {}, nan);
  EXPECT_THAT(text, HasSubstr("epoch 2, step 2 of 3: the gradient of "));
  EXPECT_EQ(text, error_of(false, {}, nan));
}

}  // namespace
}  // namespace lockstep::train
