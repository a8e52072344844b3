// The ranks of a host compute the gradients of large dense layers together.
#include "train/joint_shards.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fault.h"
#include "comm/gradient_reducer.h"
#include "data/hdf5_dataset.h"
#include "device/network_builder.h"
#include "support/temporary_folder.h"
#include "train/generated_batch.h"
#include "train/hooked_gradients.h"
#include "train/host_replica.h"
#include "train/plan_check.h"
#include "train/sample_training.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

constexpr std::int64_t total_shards = 8;

/// A rank's shards of a step of some samples, with the engine and the slabs of a training.
class JointShardsTest : public ::testing::TestWithParam<const char*> {
 protected:
  JointShardsTest() {
    setenv("LOCKSTEP_COLLECTIVE", GetParam(), 1);
    collective_ = comm::make_collective(world_, network_.parameters.slab_size(), total_shards);
    reducer_ = comm::make_gradient_reducer(config::Reproducibility::lockstep, *collective_,
                                           network_.parameters.slab_size(), total_shards);
    weights_.resize(static_cast<std::size_t>(network_.parameters.slab_size()));
    generate_weights(network_.parameters, weights_);
    std::int64_t slabs = comm::LocalTree::slabs_needed(shards_, total_shards, workers_.size());
    world_.max({&slabs, 1});
    while (std::ssize(slabs_) < slabs) slabs_.push_back(collective_->make_slab());
  }
  ~JointShardsTest() override { unsetenv("LOCKSTEP_COLLECTIVE"); }

  void SetUp() override {
    if (joint_ == nullptr) GTEST_SKIP() << "not run: the processor has no fused multiply-adds";
  }

  const data::Batch& batch(const data::Stripes& stripes, int step) { return batch_.of_step(stripes, step); }

  /// A step up to its status.
  void compute(ShardEngine& engine, comm::LocalTree& tree, const data::Batch& batch,
               ShardWatch* watch = nullptr) {
    tree.reset();
    engine.weights_changed(weights_);
    engine.train(batch, tree, watch);
    world_.barrier();
  }

  /// The mean of the own slice of the gradient, as an update reads it.
  std::vector<float> train(ShardEngine& engine, comm::LocalTree& tree, const data::Batch& batch,
                           ShardWatch* watch = nullptr) {
    compute(engine, tree, batch, watch);
    reducer_->begin(tree.partials(), engine.complete_sums());
    const Range own = reducer_->owned();
    std::vector<float> mean(static_cast<std::size_t>(own.size()));
    for (std::int64_t first = 0; first < own.size(); first += odd_block) {
      const std::int64_t count = std::min(odd_block, own.size() - first);
      reducer_->mean(
          own.begin + first, static_cast<float>(batch.global_samples),
          std::span(mean).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    }
    world_.barrier();  // others have read the sums
    return mean;
  }
  static constexpr std::int64_t odd_block = 700;  // which ends within layers

  comm::World world_;
  Range shards_ = comm::shards_of_rank(total_shards, world_.size(), world_.rank());
  WorkerPool workers_{1 + world_.rank() % 2, device::prepare_cpu_thread};
  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
  device::Network network_ = testing::NetworkBuilder({300}).dense(512).relu().dense(4).build();
  std::unique_ptr<device::JointGradients> joint_ = backend_->joint_gradients(network_);
  std::unique_ptr<comm::Collective> collective_;
  std::unique_ptr<comm::GradientReducer> reducer_;
  std::vector<float> weights_;
  std::vector<std::span<float>> slabs_;

 private:
  testing::GeneratedBatch batch_{shards_, 300};
};
INSTANTIATE_TEST_SUITE_P(Kinds, JointShardsTest, ::testing::Values("", "mpi", "hosts:2"),
                         [](const auto& info) {
                           std::string name = *info.param == '\0' ? "chosen" : info.param;
                           std::erase(name, ':');
                           return name;
                         });

/// Of 45 samples each shard has five or six; of three most ranks have none.
TEST_P(JointShardsTest, GiveTheBitsOfSingleShards) {
  for (const std::int64_t samples : {45, 3}) {
    for (const Ownership ownership : {Ownership::slices, Ownership::everything}) {
      const data::Stripes stripes(samples, samples, total_shards);
      ShardEngine single(*backend_, network_, device::Mode::training, stripes, shards_, workers_);
      ShardEngine together(*backend_, network_, device::Mode::training, stripes, shards_, workers_);
      testing::HookedGradients gradients(*joint_);
      together.join(gradients);
      together.share_joint_gradients(*collective_, ownership);
      comm::LocalTree tree(shards_, total_shards, slabs_, joint_->ranges());
      const bool can_complete =
          ownership == Ownership::slices && world_.size() > 1 && collective_->team().size == world_.size();
      const auto sums = static_cast<std::int64_t>(comm::subtrees(shards_, total_shards).size());

      for (int step = 0; step < 18; ++step) {
        SCOPED_TRACE(fmt::format("step {}", step));
        const data::Batch& batch = this->batch(stripes, step);
        const std::vector<float> expected = train(single, tree, batch);
        // Ranks are late in turn, with their shards or at each piece; or one looks at a single shard of its
        // own, or has a fault to come, of a gradient or another.
        const int late = step % world_.size();
        const bool is_late = world_.rank() == late;
        const int what = step % 6;
        gradients.pause = std::chrono::milliseconds(is_late && what == 1 ? 2 : 0);
        if (is_late && what == 2) std::this_thread::sleep_for(std::chrono::milliseconds(3));
        ShardWatch watch{.shard = what == 3 ? step % total_shards : -1};
        fault::Fault fault{.rank = late, .step = 1000, .spec = fault::Nan{}};
        if (what == 5) fault.spec = fault::Stall{};
        if (what >= 4) fault::arm({&fault, 1}, world_.rank(), 1);
        gradients.count = 0;
        EXPECT_EQ(train(together, tree, batch, &watch), expected);
        fault::arm({}, world_.rank(), 1);
        EXPECT_EQ(watch.hash != 0, shards_.contains(watch.shard));
        const bool is_single = shards_.contains(watch.shard) || what == 4;
        const bool completes = can_complete && what != 3 && what != 4;

        EXPECT_EQ(together.complete_sums().ranges.empty(), !completes);
        std::int64_t done = gradients.count;
        world_.sum({&done, 1});
        std::int64_t wanted = is_single ? 0 : sums * joint_->pieces();
        world_.sum({&wanted, 1});
        EXPECT_EQ(done, completes ? joint_->pieces() : wanted) << "each piece once";
      }
    }
  }
}

TEST_P(JointShardsTest, AreDoneByWhoeverOfTheTeamIsFree) {
  const data::Stripes stripes(45, 45, total_shards);
  ShardEngine engine(*backend_, network_, device::Mode::training, stripes, shards_, workers_);
  testing::HookedGradients gradients(*joint_);
  const bool is_slow = collective_->team().place == 0;
  gradients.pause = std::chrono::milliseconds(is_slow ? 50 : 0);
  engine.join(gradients);
  engine.share_joint_gradients(*collective_, Ownership::slices);
  comm::LocalTree tree(shards_, total_shards, slabs_, joint_->ranges());
  train(engine, tree, batch(stripes, 0));
  const bool completes = !engine.complete_sums().ranges.empty();
  const std::int64_t own = completes ? piece(joint_->pieces(), world_.size(), world_.rank()).size()
                                     : std::ssize(tree.partials()) * joint_->pieces();
  ASSERT_GT(own, 1);
  if (collective_->team().size == 1) {
    EXPECT_EQ(gradients.count, own);
  } else if (is_slow) {
    EXPECT_LT(gradients.count, own);
  }
}

/// Steps of 45 samples and of eight, so that what shards keep is longer or shorter than the step before.
TEST_P(JointShardsTest, WaitForNoRankThatFailed) {
  const data::Stripes stripes(53, 45, total_shards);
  ShardEngine engine(*backend_, network_, device::Mode::training, stripes, shards_, workers_);
  testing::HookedGradients gradients(*joint_);
  engine.join(gradients);
  engine.share_joint_gradients(*collective_, Ownership::slices);
  comm::LocalTree tree(shards_, total_shards, slabs_, joint_->ranges());
  std::vector<std::vector<float>> expected;
  for (const int step : {0, 1}) expected.push_back(train(engine, tree, batch(stripes, step)));

  const bool fails = world_.rank() == world_.size() - 1;
  std::int64_t of_others = 0;
  constexpr std::int64_t none = -1;  // by a rank whose pieces were taken by others
  for (const int step : {0, 1, 0}) {
    const data::Batch& batch = this->batch(stripes, step);
    gradients.samples = none;
    if (!fails) {
      for (const data::ShardBatch& shard : batch.shards) of_others += shard.count;
      compute(engine, tree, batch);
    } else if (step == 1) {
      engine.stay_away();  // its batch did not come
      world_.barrier();
    } else {  // while it computes
      tree.reset();
      const std::array bad{SideWork{.pieces = 1,
                                    .run = [](std::int64_t, int) { throw std::runtime_error("no memory"); },
                                    .time = &WorkerTimes::checking}};
      EXPECT_THROW(engine.train(batch, tree, nullptr, bad), std::runtime_error);
      world_.barrier();
    }
    std::int64_t samples = std::exchange(of_others, 0);
    world_.sum({&samples, 1});
    if (!fails && !engine.complete_sums().ranges.empty() && gradients.samples != none) {
      EXPECT_EQ(gradients.samples, samples) << "shards of the rank that failed count as empty";
    }
  }
  for (const int step : {0, 1})
    EXPECT_EQ(train(engine, tree, batch(stripes, step)), expected[static_cast<std::size_t>(step)]);
}

/// A set of which one rank cannot read a row.
class DamagedDataset final : public data::Dataset {
 public:
  DamagedDataset(const data::Dataset& whole, bool is_damaged) : whole_(whole), is_damaged_(is_damaged) {}
  [[nodiscard]] const data::DatasetInfo& info() const override { return whole_.info(); }
  [[nodiscard]] std::int64_t rows_kept() const override { return whole_.rows_kept(); }
  [[nodiscard]] std::int64_t bytes_kept() const override { return whole_.bytes_kept(); }
  void gather(std::int64_t row, float scale, std::span<float> out) const override {
    if (is_damaged_) throw std::runtime_error("a row that cannot be read");
    whole_.gather(row, scale, out);
  }
  [[nodiscard]] std::int32_t label(std::int64_t row) const override { return whole_.label(row); }

 private:
  const data::Dataset& whole_;
  bool is_damaged_;
};

/// With 65,536 weights in a dense layer, so that there are gradients to compute together.
TEST_P(JointShardsTest, OfAReplicaWaitForNoRankWhoseSamplesDoNotCome) {
  lockstep::testing::TemporaryFolder folder;
  const std::string file = folder.file(fmt::format("{}.h5", world_.rank()));
  const Blueprint blueprint = make_blueprint(lockstep::testing::sample_experiment(
      lockstep::testing::write_samples(file, 64), {"model.7.units=4096"}));
  ASSERT_NE(backend_->joint_gradients(blueprint.network), nullptr);
  const auto whole = data::read_dataset(blueprint.experiment.data.train, blueprint.train,
                                        blueprint.train_stripes(), shards_);
  const bool fails = world_.rank() == world_.size() - 1;
  const DamagedDataset dataset(*whole, fails);
  HostReplica replica(world_, blueprint, {.backend = *backend_, .workers = workers_}, dataset);
  std::vector<float> weights(static_cast<std::size_t>(blueprint.network.parameters.slab_size()));
  generate_weights(blueprint.network.parameters, weights);
  replica.set_weights(weights);
  replica.start_batches(1, 0);
  if (fails) {
    EXPECT_THROW(replica.next_batch(), std::runtime_error);
  } else {
    Step step;
    step.batch = &replica.next_batch();
    step.number = 1;
    EXPECT_FALSE(replica.compute(step, nullptr).empty());
  }
  world_.barrier();
}

}  // namespace
}  // namespace lockstep::train
