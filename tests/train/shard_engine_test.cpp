#include "train/shard_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>

#include "base/aligned_buffer.h"
#include "device/network_builder.h"
#include "train/hooked_gradients.h"

namespace lockstep::train {
namespace {

using ::testing::ElementsAre;

/// What the plans below were asked to do, from any thread.
class Calls {
 public:
  void ran(std::int64_t planned, std::int64_t first_row) {
    const std::scoped_lock lock(mutex_);
    sizes_by_first_row_[first_row].push_back(planned);
  }
  void ran_together(std::size_t count) {
    const std::scoped_lock lock(mutex_);
    together_.push_back(count);
  }
  /// By the first row of the shard: the size of each plan that it was given to.
  [[nodiscard]] const std::map<std::int64_t, std::vector<std::int64_t>>& all() const {
    return sizes_by_first_row_;
  }
  /// How many shards each call to train had, ascending.
  [[nodiscard]] std::vector<std::size_t> together() const {
    std::vector<std::size_t> counts = together_;
    std::ranges::sort(counts);
    return counts;
  }
  std::atomic<int> loads = 0;

 private:
  std::mutex mutex_;
  std::map<std::int64_t, std::vector<std::int64_t>> sizes_by_first_row_;
  std::vector<std::size_t> together_;
};

/// Counts its samples, and takes the first row of a shard for its gradient. Fails on row `bad_row`.
class CountingRunner final : public device::ShardRunner {
 public:
  CountingRunner(std::int64_t samples, Calls& calls, std::int64_t bad_row)
      : samples_(samples), calls_(calls), bad_row_(bad_row) {}
  device::Totals train(const device::ShardInput& input, std::span<float> gradient) override {
    std::fill(gradient.begin(), gradient.end(), static_cast<float>(input.rows[0] + 1));
    return evaluate(input);
  }
  void train_together(std::span<device::ShardJob> jobs) override {
    calls_.ran_together(jobs.size());
    ShardRunner::train_together(jobs);
  }
  device::Totals evaluate(const device::ShardInput& input) override {
    if (input.rows[0] == bad_row_) throw std::runtime_error("a shard that fails");
    calls_.ran(samples_, input.rows[0]);
    return {.loss = static_cast<double>(input.rows[0]), .correct = 0, .samples = samples_};
  }

 private:
  std::int64_t samples_;
  Calls& calls_;
  std::int64_t bad_row_;
};

class CountingPlan final : public device::Plan {
 public:
  CountingPlan(std::int64_t samples, Calls& calls, std::int64_t bad_row, int together)
      : samples_(samples), calls_(calls), bad_row_(bad_row), together_(together) {}
  void load_piece(std::span<const float> /*weights*/, std::int64_t /*piece*/,
                  const float* /*packed*/) override {
    ++calls_.loads;
  }
  [[nodiscard]] int most_together() const override { return together_; }
  std::unique_ptr<device::ShardRunner> make_runner(int /*together*/) override {
    return std::make_unique<CountingRunner>(samples_, calls_, bad_row_);
  }
  [[nodiscard]] std::int64_t runner_bytes(int together) const override { return 10 * together; }
  [[nodiscard]] std::int64_t shared_bytes() const override { return 1; }
  [[nodiscard]] std::vector<std::string> implementations() const override { return {}; }

 private:
  std::int64_t samples_;
  Calls& calls_;
  std::int64_t bad_row_;
  int together_;
};

class CountingBackend final : public device::Backend {
 public:
  [[nodiscard]] std::string describe() const override { return "counting"; }
  std::unique_ptr<device::Plan> plan(const device::Network& /*network*/, std::int64_t samples,
                                     device::Mode /*mode*/) override {
    return std::make_unique<CountingPlan>(samples, calls, bad_row, together);
  }
  bool sgd_update(const device::SgdArguments& /*arguments*/, std::span<float> /*weights*/,
                  std::span<const float> /*gradient*/, std::span<float> /*velocity*/) override {
    return true;
  }
  bool adamw_update(const device::AdamWArguments& /*arguments*/, std::span<float> /*weights*/,
                    std::span<const float> /*gradient*/, std::span<float> /*moment1*/,
                    std::span<float> /*moment2*/) override {
    return true;
  }
  Calls calls;
  std::int64_t bad_row = -1;
  int together = 1;
};

void prepare_nothing() {}

/// Eight shards of ten samples, 1 1 1 2 1 1 1 2, on two workers; shard 5 is made an empty one.
class ShardEngineTest : public ::testing::Test {
 protected:
  ShardEngineTest() {
    for (std::int64_t row = 0; row < 10; ++row) rows_[static_cast<std::size_t>(row)] = row;
    for (std::int64_t shard = 0; shard < shards; ++shard) {
      const Range rows = stripes_.rows(0, {shard, shard + 1});
      batch_.shards.push_back({.shard = shard,
                               .count = shard == 5 ? 0 : rows.size(),
                               .images = nullptr,
                               .labels = nullptr,
                               .rows = &rows_[static_cast<std::size_t>(rows.begin)]});
    }
  }

  /// As many as a tree of all shards needs if the workers take so many at a time.
  std::vector<std::span<float>> make_slabs(int at_a_time = 1) {
    std::vector<std::span<float>> spans;
    for (int i = 0; i < comm::LocalTree::slabs_needed({0, shards}, shards, workers_.size(), at_a_time); ++i)
      spans.push_back(slabs_.emplace_back(slab_size).span());
    return spans;
  }

  static constexpr std::int64_t shards = 8;
  static constexpr std::size_t slab_size = 1024;
  std::vector<AlignedBuffer<float>> slabs_;
  data::Stripes stripes_{10, 10, shards};
  std::array<std::int64_t, 10> rows_{};
  data::Batch batch_;
  WorkerPool workers_{2, prepare_nothing};
  CountingBackend backend_;
  device::Network network_;
};

TEST_F(ShardEngineTest, GivesEachShardOnceToThePlanOfItsSize) {
  ShardEngine engine(backend_, network_, device::Mode::evaluation, stripes_, {0, shards}, workers_);
  engine.weights_changed({});
  const auto totals = engine.evaluate(batch_);
  const std::map<std::int64_t, std::vector<std::int64_t>> expected{{0, {1}}, {1, {1}}, {2, {1}}, {3, {2}},
                                                                   {5, {1}}, {7, {1}}, {8, {2}}};
  EXPECT_EQ(backend_.calls.all(), expected);
  std::vector<std::int64_t> samples;
  for (const device::Totals& shard : totals) samples.push_back(shard.samples);
  EXPECT_THAT(samples, ElementsAre(1, 1, 1, 2, 1, 0, 1, 2));
}

TEST_F(ShardEngineTest, AddsTheGradientsOfAllShardsAndZerosOfAnEmptyOne) {
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  comm::LocalTree tree({0, shards}, shards, make_slabs());
  for (int step = 0; step < 3; ++step) {  // what an earlier step left in a slab must not show
    tree.reset();
    engine.weights_changed({});
    const auto totals = engine.train(batch_, tree);
    ASSERT_EQ(tree.partials().size(), 1U);
    EXPECT_EQ(tree.partials()[0].data[slab_size - 1], 1 + 2 + 3 + 4 + 6 + 8 + 9);
    EXPECT_EQ(totals[7].loss, 8);
  }
}

/// Two workers take two neighbours at a time, of which those of one size go together: 1 1 | 1, 2 | 1, 0 |
/// 1, 2.
TEST_F(ShardEngineTest, GivesNeighboursOfOneSizeToARunnerTogether) {
  backend_.together = 4;
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  ASSERT_EQ(engine.at_a_time(), 2);
  comm::LocalTree tree({0, shards}, shards, make_slabs(engine.at_a_time()));
  for (int step = 0; step < 100; ++step) {
    tree.reset();
    engine.weights_changed({});
    const auto totals = engine.train(batch_, tree);
    ASSERT_EQ(tree.partials()[0].data[0], 1 + 2 + 3 + 4 + 6 + 8 + 9);
    std::vector<double> rows;
    for (const device::Totals& shard : totals) rows.push_back(shard.loss);
    ASSERT_THAT(rows, ElementsAre(0, 1, 2, 3, 5, 0, 7, 8));
    if (step == 0) {
      EXPECT_THAT(backend_.calls.together(), ElementsAre(1, 1, 1, 1, 1, 2));
    }
  }
  EXPECT_EQ(engine.bytes(), 2 * (1 + 2 * 20)) << "two plans, two workers, two shards";
}

TEST_F(ShardEngineTest, TakesShardsTogetherThatBelongToOneSubtree) {
  backend_.together = 4;
  WorkerPool one(1, prepare_nothing);
  const data::Stripes equal(16, 16, shards);
  ShardEngine engine(backend_, network_, device::Mode::training, equal, {3, shards}, one);
  ASSERT_EQ(engine.at_a_time(), 4);
  batch_.shards.erase(batch_.shards.begin(), batch_.shards.begin() + 3);
  for (data::ShardBatch& shard : batch_.shards) shard.count = 2;
  comm::LocalTree tree({3, shards}, shards, make_slabs(4));
  tree.reset();
  engine.weights_changed({});
  engine.train(batch_, tree);
  EXPECT_THAT(backend_.calls.together(), ElementsAre(1, 4)) << "3 | 4 5 6 7";
}

TEST_F(ShardEngineTest, RethrowsWhatOneOfSeveralShardsThrewAndStaysUsable) {
  backend_.together = 2;
  backend_.bad_row = 1;
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  comm::LocalTree tree({0, shards}, shards, make_slabs(engine.at_a_time()));
  engine.weights_changed({});
  tree.reset();
  EXPECT_THROW(engine.train(batch_, tree), std::runtime_error);
  batch_.shards[1].count = 0;
  for (int step = 0; step < 3; ++step) {
    tree.reset();
    EXPECT_EQ(engine.train(batch_, tree)[0].samples, 1);
    EXPECT_EQ(tree.partials()[0].data[0], 1 + 3 + 4 + 6 + 8 + 9);
  }
}

TEST(ShardsAtATime, AreAsManyAsThePlanGainsFromIfWorkersStillEndTogether) {
  Calls calls;
  const auto at_a_time = [&](int together, Range shards, std::int64_t workers) {
    return shards_at_a_time(CountingPlan(1, calls, -1, together), shards, workers);
  };
  EXPECT_EQ(at_a_time(4, {0, 8}, 1), 4);
  EXPECT_EQ(at_a_time(4, {0, 3}, 1), 4);
  EXPECT_EQ(at_a_time(4, {0, 2}, 1), 2) << "there are no more";
  EXPECT_EQ(at_a_time(4, {5, 6}, 1), 1);
  EXPECT_EQ(at_a_time(4, {0, 8}, 2), 2) << "two pieces for each worker";
  EXPECT_EQ(at_a_time(4, {0, 16}, 2), 4);
  EXPECT_EQ(at_a_time(4, {0, 8}, 3), 1);
  EXPECT_EQ(at_a_time(4, {0, 24}, 5), 1) << "of twelve pairs some worker would have three";
  EXPECT_EQ(at_a_time(4, {1, 9}, 2), 1) << "1 | 2 3 | 4 5 | 6 7 | 8: five shards for one worker";
  EXPECT_EQ(at_a_time(4, {0, 0}, 1), 1);
  EXPECT_EQ(at_a_time(1, {0, 8}, 1), 1);
}

/// Six shards, which are two subtrees, of 1 and 2 samples and one of them empty, by the CPU's kernels.
TEST_F(ShardEngineTest, ComputesJointGradientsToTheBitsOfSingleShards) {
  const device::Network network = testing::NetworkBuilder({300}).dense(256).relu().dense(4).build();
  const auto backend = device::make_cpu_backend();
  const auto joint = backend->joint_gradients(network);
  if (!joint) GTEST_SKIP() << "not run: the processor has no fused multiply-adds";
  const auto floats = [](std::int64_t count, float scale) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = scale * static_cast<float>(i * 7919 % 1013) - scale * 500;
    return values;
  };
  const std::vector<float> weights = floats(network.parameters.slab_size(), 1e-4F);
  const std::vector<float> images = floats(std::int64_t{10} * 300, 1e-3F);
  const std::vector<std::int32_t> labels{0, 1, 2, 3, 0, 1, 2, 3, 0, 1};
  batch_.shards.resize(6);
  for (data::ShardBatch& shard : batch_.shards) {
    shard.images = images.data() + shard.rows[0] * 300;
    shard.labels = labels.data() + shard.rows[0];
  }

  ShardEngine engine(*backend, network, device::Mode::training, stripes_, {0, 6}, workers_);
  std::vector<AlignedBuffer<float>> slabs;
  std::vector<std::span<float>> spans;
  for (int i = 0; i < comm::LocalTree::slabs_needed({0, 6}, shards, workers_.size()); ++i)
    spans.push_back(slabs.emplace_back(weights.size()).span());
  comm::LocalTree tree({0, 6}, shards, spans, joint->ranges());
  const auto sums = [&](ShardWatch* watch) {
    tree.reset();
    engine.weights_changed(weights);
    engine.train(batch_, tree, watch);
    std::vector<std::vector<float>> all;
    for (const comm::Partial& partial : tree.partials())
      all.emplace_back(partial.data, partial.data + weights.size());
    return all;
  };
  const auto single = sums(nullptr);
  ASSERT_EQ(single.size(), 2U);
  EXPECT_TRUE(std::ranges::any_of(single[1], [](float value) { return value != 0; }));
  const testing::HookedGradients counted(*joint);
  engine.join(counted);
  EXPECT_EQ(sums(nullptr), single);
  EXPECT_EQ(counted.count, 2 * joint->pieces());
  ShardWatch elsewhere{.shard = 7};  // on another rank
  EXPECT_EQ(sums(&elsewhere), single);
  EXPECT_EQ(counted.count, 4 * joint->pieces());
  ShardWatch watch{.shard = 3};  // whose whole gradient is hashed
  EXPECT_EQ(sums(&watch), single);
  EXPECT_NE(watch.hash, 0U);
  EXPECT_EQ(counted.count, 4 * joint->pieces());
}

TEST_F(ShardEngineTest, LoadsWeightsOncePerPlanAndChange) {
  ShardEngine engine(backend_, network_, device::Mode::evaluation, stripes_, {0, shards}, workers_);
  engine.weights_changed({});
  engine.evaluate(batch_);
  engine.evaluate(batch_);
  EXPECT_EQ(backend_.calls.loads, 2);  // shards of one sample and of two
  engine.weights_changed({});
  engine.evaluate(batch_);
  EXPECT_EQ(backend_.calls.loads, 4);
}

TEST_F(ShardEngineTest, RethrowsWhatAShardThrewAndStaysUsable) {
  backend_.bad_row = 3;
  ShardEngine engine(backend_, network_, device::Mode::evaluation, stripes_, {0, shards}, workers_);
  engine.weights_changed({});
  EXPECT_THROW(engine.evaluate(batch_), std::runtime_error);
  batch_.shards[3].count = 0;
  EXPECT_EQ(engine.evaluate(batch_)[3].samples, 0);
}

TEST_F(ShardEngineTest, DoesSideWorkOnceBesideTheShards) {
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  comm::LocalTree tree({0, shards}, shards, make_slabs());
  engine.weights_changed({});
  std::array<std::atomic<int>, 20> calls{};
  std::atomic<int> strangers = 0;
  tree.reset();
  const auto run = [&](std::int64_t first) {
    return [&calls, &strangers, first, this](std::int64_t piece, int worker) {
      ++calls.at(static_cast<std::size_t>(first + piece));
      if (worker < 0 || worker >= workers_.size()) ++strangers;
    };
  };
  const std::array side{SideWork{.pieces = 15, .run = run(0), .time = &WorkerTimes::checking}, SideWork{},
                        SideWork{.pieces = 5, .run = run(15), .time = &WorkerTimes::fetching}};
  const auto totals = engine.train(batch_, tree, nullptr, side);
  for (const std::atomic<int>& count : calls) EXPECT_EQ(count, 1);
  EXPECT_EQ(strangers, 0);
  EXPECT_EQ(totals.size(), static_cast<std::size_t>(shards));
  EXPECT_EQ(backend_.calls.all().size(), static_cast<std::size_t>(shards - 1)) << "all but the empty one";
}

TEST_F(ShardEngineTest, RethrowsWhatSideWorkThrewAndStaysUsable) {
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  comm::LocalTree tree({0, shards}, shards, make_slabs());
  engine.weights_changed({});
  const std::array bad{SideWork{.pieces = 3,
                                .run =
                                    [](std::int64_t piece, int /*worker*/) {
                                      if (piece == 1) throw std::runtime_error("side work that fails");
                                    },
                                .time = &WorkerTimes::checking}};
  tree.reset();
  EXPECT_THROW(engine.train(batch_, tree, nullptr, bad), std::runtime_error);
  tree.reset();
  EXPECT_EQ(engine.train(batch_, tree)[3].samples, 2);
}

TEST_F(ShardEngineTest, CountsPlansAndRunnersOfAllWorkers) {
  const ShardEngine engine(backend_, network_, device::Mode::evaluation, stripes_, {0, shards}, workers_);
  EXPECT_EQ(engine.bytes(), 2 * (1 + 2 * 10));
}

TEST(ShardSizes, AreThoseOfFullStepsAndOfTheTail) {
  // 60,000 = 468 × 128 + 96: sixteen samples a shard, twelve in the tail.
  EXPECT_EQ(shard_sizes(data::Stripes(60'000, 128, 8), {0, 8}), (std::vector<std::int64_t>{16, 12}));
}

TEST(ShardSizes, AreTheOwnShardsOnly) {
  // Ten samples in eight shards: 1 1 1 2 1 1 1 2.
  const data::Stripes stripes(10, 10, 8);
  EXPECT_EQ(shard_sizes(stripes, {0, 3}), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(shard_sizes(stripes, {3, 4}), (std::vector<std::int64_t>{2}));
  EXPECT_EQ(shard_sizes(stripes, {0, 8}), (std::vector<std::int64_t>{2, 1}));
}

TEST(ShardSizes, LeaveEmptyShardsOut) {
  const data::Stripes stripes(3, 3, 8);  // most shards have no sample
  for (const std::int64_t size : shard_sizes(stripes, {0, 8})) EXPECT_GT(size, 0);
  EXPECT_TRUE(shard_sizes(stripes, {0, 2}).empty());
}

}  // namespace
}  // namespace lockstep::train
