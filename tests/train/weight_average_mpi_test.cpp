#include "train/weight_average.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "support/temporary_folder.h"
#include "tensor/parameters.h"
#include "train/sample_training.h"
#include "train/slab_hash.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::HasSubstr;

constexpr std::int64_t slab = 2 * Parameters::block;

std::vector<float> random_slab(unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> values(-2, 2);
  std::vector<float> weights(slab);
  for (float& weight : weights) weight = values(random);
  return weights;
}

TEST(WeightAverage, IsTheMean) {
  WeightAverage average({}, config::MemoryChecks::stop, slab, 10);
  std::vector<double> sum(slab, 0);
  for (unsigned n = 1; n <= 50; ++n) {
    const std::vector<float> weights = random_slab(n);
    average.add(weights);
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += weights[i];
      ASSERT_NEAR(average.mean()[i], sum[i] / n, 1e-6) << n;
    }
    if (n == 1) {
      EXPECT_TRUE(std::ranges::equal(average.mean(), weights));
    }
  }
  EXPECT_EQ(average.count(), 50);
}

TEST(WeightAverage, CountsWhatItAdds) {
  constexpr std::int64_t steps = 7;
  for (const config::Average& settings :
       {config::Average{1, 0}, {3, 0}, {1, 1}, {2, 3}, {3, 7}, {2, 10}, {4, 100}}) {
    const WeightAverage average(settings, config::MemoryChecks::stop, slab, steps);
    std::int64_t added = 0;
    for (std::int64_t epoch = 1; epoch <= 6; ++epoch) {
      EXPECT_EQ(average.count_at({epoch, 0}), added);
      for (std::int64_t step = 1; step <= steps; ++step) {
        const Position after{epoch, step};
        const std::int64_t every = settings.every_steps == 0 ? steps : settings.every_steps;
        const bool expected = epoch >= settings.from_epoch && after.global_step(steps) % every == 0;
        EXPECT_EQ(average.counts(after), expected) << epoch << ' ' << step;
        added += expected ? 1 : 0;
        EXPECT_EQ(average.count_at(after), added) << epoch << ' ' << step;
      }
    }
  }
}

TEST(WeightAverage, GoesOnWithTheSameBits) {
  WeightAverage whole({}, config::MemoryChecks::stop, slab, 10);
  WeightAverage first({}, config::MemoryChecks::stop, slab, 10);
  for (unsigned n = 0; n < 5; ++n) {
    whole.add(random_slab(n));
    first.add(random_slab(n));
  }
  WeightAverage second({}, config::MemoryChecks::stop, slab, 10);
  second.restore(first.count(), first.mean());
  EXPECT_EQ(second.digest(), first.digest());
  for (unsigned n = 5; n < 9; ++n) {
    whole.add(random_slab(n));
    second.add(random_slab(n));
  }
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(second.mean()), std::as_bytes(whole.mean())));
  EXPECT_EQ(second.digest(), whole.digest());
  EXPECT_EQ(whole.digest(), slab_hash(SlabKind::average, 0, whole.mean()));
}

TEST(WeightAverage, DamageOnAnyRankEndsTheJobThere) {
  comm::World world;
  for (const auto checks : {config::MemoryChecks::stop, config::MemoryChecks::off}) {
    WeightAverage average({}, checks, slab, 10);
    average.add(random_slab(1));
    average.check_memory(world);
    if (world.rank() == world.size() - 1) {
      auto& bits = const_cast<float&>(average.mean()[Parameters::block + 3]);
      bits = std::bit_cast<float>(std::bit_cast<std::uint32_t>(bits) ^ 1U);
    }
    if (checks == config::MemoryChecks::off) {
      average.check_memory(world);
      continue;
    }
    try {
      average.check_memory(world);
      ADD_FAILURE() << "nobody noticed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      EXPECT_THAT(error.what(), HasSubstr("the average of the weights"));
    }
  }
}

/// Weights after each step.
class WeightKeeper final : public metrics::Sink {
 public:
  WeightKeeper(std::vector<std::vector<float>>& kept, std::optional<Trainer>& trainer)
      : kept_(kept), trainer_(trainer) {}
  void step(const metrics::StepRecord& /*record*/) override {
    kept_.emplace_back(trainer_->weights().begin(), trainer_->weights().end());
  }

 private:
  std::vector<std::vector<float>>& kept_;
  std::optional<Trainer>& trainer_;
};

class AveragedTraining : public ::testing::Test {
 protected:
  struct Outcome {
    std::vector<std::vector<float>> weights;  ///< after each step
    std::vector<float> result;
    std::optional<double> val_loss;
  };
  Outcome train(const std::vector<std::string>& overrides) {
    const Blueprint blueprint = make_blueprint(sample_experiment(data_, overrides));
    const auto backend = device::make_cpu_backend();
    WorkerPool workers(1, device::prepare_cpu_thread);
    std::optional<Trainer> trainer;
    trainer.emplace(world_, blueprint, Resources{.backend = *backend, .workers = workers});
    Outcome outcome;
    Sinks sinks;
    sinks.push_back(std::make_unique<WeightKeeper>(outcome.weights, trainer));
    metrics::RunSummary summary;
    trainer->run(sinks, summary, {});
    const auto result = trainer->result();
    outcome.result.assign(result.begin(), result.end());
    outcome.val_loss = summary.last->val_loss;
    return outcome;
  }

  comm::World world_;
  lockstep::testing::TemporaryFolder folder_;  // one for each rank
  std::string data_ = write_samples(folder_.file("data.h5"), (32 * 2) + 13);
};

/// Three epochs of three steps.
TEST_F(AveragedTraining, ValidatesAndReturnsTheMeanAndTrainsWithoutIt) {
  const Outcome plain = train({"training.epochs=3"});
  EXPECT_EQ(plain.result, plain.weights.back());
  const Outcome averaged = train({"training.epochs=3", "training.average={from_epoch: 2, every_steps: 2}"});
  EXPECT_EQ(averaged.weights, plain.weights);
  WeightAverage expected({}, config::MemoryChecks::stop, std::ssize(plain.result), 3);
  for (const std::size_t step : {4U, 6U, 8U}) expected.add(plain.weights[step - 1]);
  EXPECT_TRUE(std::ranges::equal(averaged.result, expected.mean()));
  EXPECT_NE(averaged.val_loss, plain.val_loss);

  const Outcome by_epoch = train({"training.epochs=3", "training.average={from_epoch: 3}"});
  EXPECT_EQ(by_epoch.result, plain.result) << "the mean of one";
  EXPECT_EQ(by_epoch.val_loss, plain.val_loss);
}

TEST_F(AveragedTraining, DistortedImagesTrainDifferently) {
  const Outcome plain = train({"training.epochs=2"});
  EXPECT_EQ(train({"training.epochs=2", "data.augment={}"}).weights, plain.weights);
  EXPECT_NE(train({"training.epochs=2", "data.augment={shift: 1}"}).weights, plain.weights);
}

TEST_F(AveragedTraining, ValidatesAsOftenAsToldAndInTheEnd) {
  const Outcome plain = train({"training.epochs=3"});
  const Outcome seldom = train({"training.epochs=3", "training.validate_every=2"});
  EXPECT_EQ(seldom.weights, plain.weights);
  EXPECT_EQ(seldom.val_loss, plain.val_loss);
}

}  // namespace
}  // namespace lockstep::train
