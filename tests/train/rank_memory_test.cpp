#include "train/rank_memory.h"

#include <gtest/gtest.h>

#include "comm/collective.h"
#include "data/hdf5_dataset.h"
#include "data/step_loader.h"
#include "device/cpu/fused/choice.h"
#include "support/temporary_folder.h"
#include "train/evaluator.h"
#include "train/sample_training.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;

constexpr std::int64_t samples = 1003;

std::vector<std::int64_t> on_each(int ranks, std::int64_t threads) {
  return std::vector<std::int64_t>(static_cast<std::size_t>(ranks), threads);
}

class RankMemoryTest : public ::testing::Test {
 protected:
  [[nodiscard]] Blueprint blueprint(const std::vector<std::string>& overrides = {}) const {
    return make_blueprint(sample_experiment(data_, overrides));
  }

  /// What a rank's data, loaders, plans and runners really take.
  RankMemory real(const Blueprint& blueprint, int ranks, int rank, int threads, int team = 1) {
    const config::Experiment& experiment = blueprint.experiment;
    const Range shards = comm::shards_of_rank(experiment.training.shards, ranks, rank);
    const data::Stripes stripes = blueprint.train_stripes();
    WorkerPool workers(threads, device::prepare_cpu_thread);
    const bool all = experiment.data.shuffle == config::Shuffle::global;
    const auto dataset = data::read_dataset(experiment.data.train, blueprint.train,
                                            all ? std::nullopt : std::optional(stripes), shards);
    const data::StepLoader loader(*dataset, data::Sampler(stripes, experiment.data.shuffle, 1), 1, shards,
                                  threads);
    ShardEngine engine(*backend_, blueprint.network, device::Mode::training, stripes, shards, workers, team);
    const auto joint = backend_->joint_gradients(blueprint.network);
    if (joint) engine.join(*joint);
    RankMemory memory;
    memory.data = dataset->bytes_kept();
    memory.batches = loader.bytes();
    memory.activations = engine.bytes();
    const Evaluator evaluator(blueprint, {.backend = *backend_, .workers = workers}, shards);
    evaluator_bytes_ = evaluator.bytes();
    return memory;
  }

  /// What the first of several ranks keeps for gradients over all ranks.
  std::int64_t complete_bytes(const Blueprint& blueprint) {
    const auto joint = backend_->joint_gradients(blueprint.network);
    return joint ? joint->ranges().back().end * std::int64_t{sizeof(float)} : 0;
  }

  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
  std::int64_t evaluator_bytes_ = 0;

 private:
  lockstep::testing::TemporaryFolder folder_;
  std::string data_ = write_samples(folder_.file("data.h5"), samples);
};

TEST_F(RankMemoryTest, IsWhatTheObjectsTake) {
  for (const char* shuffle : {"none", "stripes", "global"}) {
    // Packed in training, and the second dense layer behind a ReLU in evaluation, too.
    const Blueprint full = blueprint(
        {std::string("data.shuffle=") + shuffle, "model.7.units=600", "model.8=relu", "model.10.units=70"});
    Blueprint training_only = full;
    training_only.validation.reset();
    for (const int ranks : {1, 3})
      for (int rank = 0; rank < ranks; ++rank) {
        SCOPED_TRACE(fmt::format("{}, rank {} of {}", shuffle, rank, ranks));
        constexpr int threads = 2;
        const RankMemory planned = rank_memory(training_only, *backend_, on_each(ranks, threads), rank);
        const RankMemory taken = real(full, ranks, rank, threads);
        EXPECT_EQ(planned.data, taken.data);
        const auto packed = backend_->plan(full.network, 1, device::Mode::training)->packing();
        if (device::cpu::fused::processor_suits()) {
          ASSERT_GT(packed.floats, 0);
        }
        const std::int64_t kept_by_the_first = rank == 0 ? 0 : packed.floats * std::int64_t{sizeof(float)};
        const Range own = comm::shards_of_rank(full.experiment.training.shards, ranks, rank);
        const std::int64_t shared = SharedShards::bytes(full.train_stripes(), shards_to_share(own, {}, ranks),
                                                        full.train.image.count());
        const std::int64_t complete = ranks > 1 && rank == 0 ? complete_bytes(full) : 0;
        EXPECT_EQ(planned.activations + kept_by_the_first, taken.activations + shared + complete);
        const auto batches = static_cast<double>(taken.batches);
        EXPECT_NEAR(static_cast<double>(planned.batches), batches, batches * 0.05) << "lines are rounded up";

        const RankMemory both = rank_memory(full, *backend_, on_each(ranks, threads), rank);
        const auto evaluation = static_cast<double>(evaluator_bytes_);
        EXPECT_NEAR(static_cast<double>(both.total() - planned.total()), evaluation, evaluation * 0.05);
      }
  }
}

TEST_F(RankMemoryTest, KnowsThatARankWithoutSamplesHelpsToPack) {
  Blueprint few = blueprint({"training.batch=4", "training.epochs=1", "model.7.units=600"});
  few.validation.reset();
  const data::Stripes stripes = few.train_stripes();
  ASSERT_TRUE(shard_sizes(stripes, {0, 1}).empty()) << "four samples in eight shards";
  WorkerPool workers(1, device::prepare_cpu_thread);
  const ShardEngine engine(*backend_, few.network, device::Mode::training, stripes, {0, 1}, workers);
  EXPECT_EQ(rank_memory(few, *backend_, on_each(8, 1), 0).activations, engine.bytes() + complete_bytes(few));
}

TEST_F(RankMemoryTest, KnowsThatShardsGoTogetherWhereWeightsAreLarge) {
  const Blueprint full = blueprint({"model=[flatten, {dense: {units: 8000}}, relu, {dense: {units: 4}}]"});
  Blueprint large = full;
  large.validation.reset();
  const std::int64_t slab = large.network.parameters.slab_size() * std::int64_t{4};
  for (const int threads : {1, 2}) {
    const RankMemory planned = rank_memory(large, *backend_, on_each(1, threads), 0);
    EXPECT_EQ(
        planned.activations,
        real(blueprint({"model=[flatten, {dense: {units: 8000}}, relu, {dense: {units: 4}}]"}), 1, 0, threads)
            .activations);
    const auto plan = backend_->plan(large.network, 4, device::Mode::training);
    const Grouping grouping = group_shards(*plan, {0, 8}, threads, 1);
    EXPECT_EQ(planned.gradients, slab * slabs_with_shared({0, 8}, 8, threads, grouping, 1));
    if (plan->most_together() > 1) {
      EXPECT_EQ(grouping.size, threads == 1 ? 4 : 2);
    }
  }
}

/// Shards 2 to 4 of 8: a pair and one by itself, which is shared if there is a team.
TEST_F(RankMemoryTest, KnowsThatARankOfOneThreadMakesPairsBesideWhatItShares) {
  if (!device::cpu::fused::processor_suits()) GTEST_SKIP() << "not run: no own kernels, no groups";
  const Blueprint full = blueprint({"model.3.stride=1", "model.7.units=2700"});
  Blueprint training_only = full;
  training_only.validation.reset();
  constexpr int ranks = 3, rank = 1, threads = 1;
  const Range own = comm::shards_of_rank(full.experiment.training.shards, ranks, rank);
  const auto plan = backend_->plan(full.network, 4, device::Mode::training);
  const Grouping grouping = group_shards(*plan, own, threads, ranks);
  EXPECT_EQ(grouping.size, 2);
  const Range shared = shards_to_share(own, grouping, ranks);
  EXPECT_EQ(shared.size(), 1);
  const std::int64_t beside_team =
      real(full, ranks, rank, threads, ranks).activations +
      SharedShards::bytes(full.train_stripes(), shared, full.train.image.count());
  EXPECT_GT(beside_team, real(full, ranks, rank, threads).activations);
  const std::int64_t kept_by_the_first = plan->packing().floats * std::int64_t{sizeof(float)};
  const RankMemory planned = rank_memory(training_only, *backend_, on_each(ranks, threads), rank);
  EXPECT_EQ(planned.activations + kept_by_the_first, beside_team);
}

TEST_F(RankMemoryTest, StripesAreSharedOut) {
  const Blueprint striped = blueprint();
  const std::int64_t alone = rank_memory(striped, *backend_, on_each(1, 1), 0).data;
  std::int64_t sum = 0;
  for (int rank = 0; rank < 3; ++rank) sum += rank_memory(striped, *backend_, on_each(3, 1), rank).data;
  EXPECT_EQ(sum, alone);
}

TEST_F(RankMemoryTest, SlabsAreThoseOfTheTreeAndTheOptimizer) {
  const auto slab = [](const Blueprint& plan) {
    return plan.network.parameters.slab_size() * std::int64_t{4};
  };
  const Blueprint adam = blueprint();
  const RankMemory alone = rank_memory(adam, *backend_, on_each(1, 1), 0);
  EXPECT_EQ(alone.weights, slab(adam));
  EXPECT_EQ(alone.optimizer, 2 * slab(adam));
  EXPECT_EQ(alone.gradients % slab(adam), 0);
  EXPECT_GE(alone.gradients, 4 * slab(adam)) << "a tree over eight shards";

  std::int64_t state = 0;
  for (int rank = 0; rank < 3; ++rank) state += rank_memory(adam, *backend_, on_each(3, 1), rank).optimizer;
  EXPECT_EQ(state, 2 * slab(adam)) << "the optimizer's state is cut into slices";
  const Blueprint any_order = blueprint({"training.reproducibility=run"});
  EXPECT_EQ(rank_memory(any_order, *backend_, on_each(3, 1), 1).optimizer, 2 * slab(any_order));
}

}  // namespace
}  // namespace lockstep::train
