#include "train/shard_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>

#include "base/aligned_buffer.h"
#include "device/chains.h"
#include "device/cpu/fused/choice.h"
#include "device/network_builder.h"
#include "train/generated_batch.h"
#include "train/hooked_gradients.h"
#include "train/shared_shards.h"

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

/// The same in three parts, each of which must find in its place the shard that the one before left there.
class CountingGroupRunner final : public device::GroupRunner {
 public:
  CountingGroupRunner(std::int64_t samples, Calls& calls, std::int64_t bad_row, int places)
      : samples_(samples),
        calls_(calls),
        bad_row_(bad_row),
        rows_(static_cast<std::size_t>(places), nobody) {}
  void forward(int place, int /*worker*/, const device::ShardInput& input) override {
    if (input.rows[0] == bad_row_) throw std::runtime_error("a shard that fails");
    const std::int64_t before = row(place).exchange(input.rows[0]);
    if (bad_row_ < 0) {
      EXPECT_EQ(before, nobody);  // else it may come from a step that broke off
    }
  }
  void turn(int first, int /*worker*/, std::span<device::ShardJob> jobs) override {
    calls_.ran_together(jobs.size());
    for (device::ShardJob& job : jobs) {
      EXPECT_EQ(row(first++), job.input.rows[0]);
      job.totals = {.loss = static_cast<double>(job.input.rows[0]), .correct = 0, .samples = samples_};
      std::ranges::fill(job.gradient.first(1), static_cast<float>(job.input.rows[0] + 1));
    }
  }
  void backward(int place, int /*worker*/, const device::ShardJob& job) override {
    EXPECT_EQ(row(place).exchange(nobody), job.input.rows[0]);
    calls_.ran(samples_, job.input.rows[0]);
    std::ranges::fill(job.gradient.subspan(1), job.gradient.front());
  }

 private:
  static constexpr std::int64_t nobody = -2;
  std::atomic_ref<std::int64_t> row(int place) {
    return std::atomic_ref(rows_.at(static_cast<std::size_t>(place)));
  }

  std::int64_t samples_;
  Calls& calls_;
  std::int64_t bad_row_;
  std::vector<std::int64_t> rows_;  // by place
};

class CountingPlan final : public device::Plan {
 public:
  CountingPlan(std::int64_t samples, Calls& calls, std::int64_t bad_row, int together, bool much = false)
      : samples_(samples), calls_(calls), bad_row_(bad_row), together_(together), much_(much) {}
  void load_piece(std::span<const float> /*weights*/, std::int64_t /*piece*/,
                  const float* /*packed*/) override {
    ++calls_.loads;
  }
  [[nodiscard]] int most_together() const override { return together_; }
  [[nodiscard]] bool gains_much_together() const override { return much_; }
  std::unique_ptr<device::ShardRunner> make_runner() override {
    return std::make_unique<CountingRunner>(samples_, calls_, bad_row_);
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return 10; }
  std::unique_ptr<device::GroupRunner> make_group_runner(int places, int /*workers*/) override {
    return std::make_unique<CountingGroupRunner>(samples_, calls_, bad_row_, places);
  }
  [[nodiscard]] std::int64_t group_runner_bytes(int places, int workers) const override {
    return 10 * places + 100 * workers;
  }
  [[nodiscard]] std::int64_t shared_bytes() const override { return 1; }
  [[nodiscard]] std::vector<std::string> implementations() const override { return {}; }

 private:
  std::int64_t samples_;
  Calls& calls_;
  std::int64_t bad_row_;
  int together_;
  bool much_;
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

  /// As many as a tree of all shards needs.
  std::vector<std::span<float>> make_slabs(const Grouping& grouping = {}) {
    std::vector<std::span<float>> spans;
    for (int i = 0; i < slabs_with_shared({0, shards}, shards, workers_.size(), grouping, 1); ++i)
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

/// Groups are of four, of which those of one size go together: 1 1 1 | 2, 1 | 0 | 1 | 2.
TEST_F(ShardEngineTest, TrainsOnNeighboursOfOneSizeInGroups) {
  backend_.together = 4;
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  ASSERT_EQ(engine.grouping().size, 4);
  ASSERT_EQ(engine.grouping().in_flight, 2);
  comm::LocalTree tree({0, shards}, shards, make_slabs(engine.grouping()));
  for (int step = 0; step < 100; ++step) {
    tree.reset();
    engine.weights_changed({});
    const auto totals = engine.train(batch_, tree);
    ASSERT_EQ(tree.partials()[0].data[0], 1 + 2 + 3 + 4 + 6 + 8 + 9);
    ASSERT_EQ(tree.partials()[0].data[slab_size - 1], 1 + 2 + 3 + 4 + 6 + 8 + 9);
    std::vector<double> rows;
    for (const device::Totals& shard : totals) rows.push_back(shard.loss);
    ASSERT_THAT(rows, ElementsAre(0, 1, 2, 3, 5, 0, 7, 8));
    if (step == 0) {
      EXPECT_THAT(backend_.calls.together(), ElementsAre(1, 1, 1, 1, 3));
    }
  }
  EXPECT_EQ(engine.bytes(), 2 * (1 + 10 * 8 + 100 * 2)) << "two plans, eight places, two workers";
}

TEST_F(ShardEngineTest, GroupsShardsThatBelongToOneSubtree) {
  backend_.together = 4;
  WorkerPool one(1, prepare_nothing);
  const data::Stripes equal(16, 16, shards);
  ShardEngine engine(backend_, network_, device::Mode::training, equal, {3, shards}, one);
  ASSERT_EQ(engine.grouping().size, 4);
  EXPECT_EQ(engine.grouping().in_flight, 1) << "one worker has no other to wait for";
  batch_.shards.erase(batch_.shards.begin(), batch_.shards.begin() + 3);
  for (data::ShardBatch& shard : batch_.shards) shard.count = 2;
  comm::LocalTree tree({3, shards}, shards, make_slabs(engine.grouping()));
  tree.reset();
  engine.weights_changed({});
  engine.train(batch_, tree);
  EXPECT_THAT(backend_.calls.together(), ElementsAre(1, 4)) << "3 | 4 5 6 7";
}

TEST_F(ShardEngineTest, RethrowsWhatOneOfAGroupThrewAndStaysUsable) {
  backend_.together = 2;
  backend_.bad_row = 1;
  const auto engine = std::make_unique<ShardEngine>(backend_, network_, device::Mode::training, stripes_,
                                                    Range{0, shards}, workers_);
  ASSERT_EQ(engine->grouping().size, 2);
  comm::LocalTree tree({0, shards}, shards, make_slabs(engine->grouping()));
  for (int step = 0; step < 20; ++step) {
    engine->weights_changed({});
    tree.reset();
    EXPECT_THROW(engine->train(batch_, tree), std::runtime_error);
  }
  batch_.shards[1].count = 0;
  for (int step = 0; step < 3; ++step) {
    engine->weights_changed({});
    tree.reset();
    EXPECT_EQ(engine->train(batch_, tree)[0].samples, 1);
    EXPECT_EQ(tree.partials()[0].data[0], 1 + 3 + 4 + 6 + 8 + 9);
  }
}

TEST_F(ShardEngineTest, DoesSideWorkOnceBehindGroups) {
  backend_.together = 4;
  ShardEngine engine(backend_, network_, device::Mode::training, stripes_, {0, shards}, workers_);
  comm::LocalTree tree({0, shards}, shards, make_slabs(engine.grouping()));
  std::array<std::atomic<int>, 5> done{};
  const SideWork side{.pieces = 5,
                      .run = [&](std::int64_t piece, int) { ++done[static_cast<std::size_t>(piece)]; },
                      .time = nullptr};
  for (int step = 1; step <= 20; ++step) {
    engine.weights_changed({});
    tree.reset();
    engine.train(batch_, tree, nullptr, {&side, 1});
    for (const auto& times : done) ASSERT_EQ(times, step);
  }
}

TEST(Grouping, TakesAsManyAsThePlanGainsFromIfWorkersFindSomethingToDo) {
  Calls calls;
  const auto size = [&](int together, Range shards, std::int64_t workers, bool much = false) {
    return group_shards(CountingPlan(1, calls, -1, together, much), shards, workers, 1).size;
  };
  EXPECT_EQ(size(4, {0, 8}, 1), 4);
  EXPECT_EQ(size(4, {0, 3}, 1), 4);
  EXPECT_EQ(size(4, {0, 2}, 1), 2) << "there are no more";
  EXPECT_EQ(size(4, {5, 6}, 1), 1);
  EXPECT_EQ(size(4, {0, 8}, 2), 4);
  EXPECT_EQ(size(4, {0, 8}, 3), 2) << "a turn for each worker";
  EXPECT_EQ(size(4, {0, 8}, 5), 1);
  EXPECT_EQ(size(4, {0, 24}, 5), 4);
  EXPECT_EQ(size(4, {1, 9}, 2), 4) << "1 2 3 | 4 5 6 7 | 8";
  EXPECT_EQ(size(4, {0, 0}, 1), 1);
  EXPECT_EQ(size(1, {0, 8}, 1), 1);
  // Where turns are most of the work.
  EXPECT_EQ(size(4, {0, 8}, 1, true), 4);
  EXPECT_EQ(size(4, {0, 8}, 2, true), 2) << "two for each worker";
  EXPECT_EQ(size(4, {0, 16}, 2, true), 4);
  EXPECT_EQ(size(4, {0, 8}, 3, true), 1);
  EXPECT_EQ(size(4, {0, 24}, 5, true), 1) << "of twelve pairs some worker would have three";
  EXPECT_EQ(size(4, {1, 9}, 2, true), 1) << "1 | 2 3 | 4 5 | 6 7 | 8: five shards for one worker";
}

TEST(Grouping, HasOneMoreInFlightThanWorkersIfThereAreSoMany) {
  Calls calls;
  const CountingPlan plan(1, calls, -1, 4);
  EXPECT_EQ(group_shards(plan, {0, 64}, 1, 1).places(), 4);
  EXPECT_EQ(group_shards(plan, {0, 64}, 2, 1).places(), 12);
  EXPECT_EQ(group_shards(plan, {0, 8}, 2, 1).places(), 8);
  EXPECT_EQ(group_shards(plan, {0, 8}, 8, 1).places(), 1);
}

TEST(Grouping, LeavesSingleShardsToATeamUnlessThePlanGainsMuch) {
  Calls calls;
  const auto group = [&](Range shards, std::int64_t workers, int team, bool much = false) {
    return group_shards(CountingPlan(1, calls, -1, 4, much), shards, workers, team);
  };
  EXPECT_EQ(group({0, 16}, 2, 1).size, 4);
  EXPECT_EQ(group({0, 16}, 2, 2).size, 1);
  EXPECT_EQ(group({0, 16}, 2, 2, true).size, 4);
  EXPECT_FALSE(group({0, 16}, 2, 2, true).shares);
  // A single worker has pairs of the others.
  EXPECT_EQ(group({0, 4}, 1, 2).size, 2) << "0 1 | 2";
  EXPECT_TRUE(group({0, 4}, 1, 2).shares);
  EXPECT_EQ(group({4, 7}, 1, 2).size, 2) << "4 5";
  EXPECT_EQ(group({5, 8}, 1, 2).size, 1) << "5 | 6";
  EXPECT_EQ(group({2, 4}, 1, 4).size, 1);
  EXPECT_FALSE(group({0, 4}, 1, 1).shares);
  EXPECT_FALSE(group({0, 4}, 1, 2, true).shares);
}

/// By the CPU's kernels, on any number of workers: shards of 6 and 7 samples; of 0 and 1; of 8.
class GroupsOfKernels : public ::testing::Test {
 protected:
  struct Result {
    std::vector<std::vector<float>> sums;
    std::vector<double> losses;
    std::uint64_t hash = 0;
    friend bool operator==(const Result&, const Result&) = default;
  };

  /// `team`: with more than one, several workers train on shards by themselves.
  Result train(const data::Stripes& stripes, int workers, int team, std::int64_t watched, bool joins) {
    WorkerPool pool(workers, device::prepare_cpu_thread);
    ShardEngine engine(*backend_, network_, device::Mode::training, stripes, shards_, pool, team);
    EXPECT_EQ(engine.grouping().size > 1, (team == 1 || workers == 1) && suits_);
    const auto joint = backend_->joint_gradients(network_);
    joins = joins && joint;
    if (joins) engine.join(*joint);
    const auto size = static_cast<std::size_t>(network_.parameters.slab_size());
    std::vector<AlignedBuffer<float>> slabs;
    std::vector<std::span<float>> spans;
    for (int i = 0; i < slabs_with_shared(shards_, total_shards, workers, engine.grouping(), team); ++i)
      spans.push_back(slabs.emplace_back(size).span());
    comm::LocalTree tree(shards_, total_shards, spans, joins ? joint->ranges() : std::span<const Range>());
    Result result;
    for (int step = 0; step < 3; ++step) {
      tree.reset();
      engine.weights_changed(weights_);
      ShardWatch watch{.shard = watched};
      const auto totals = engine.train(batch_.of_step(stripes, step), tree, step == 1 ? &watch : nullptr);
      result.hash += watch.hash;
      for (const device::Totals& shard : totals) result.losses.push_back(shard.loss);
      for (const comm::Partial& partial : tree.partials())
        result.sums.emplace_back(partial.data, partial.data + size);
    }
    return result;
  }

  static constexpr std::int64_t total_shards = 16;
  static constexpr Range shards_{1, 15};
  bool suits_ = device::cpu::fused::processor_suits();
  device::Network network_ = testing::NetworkBuilder({1, 28, 28})
                                 .conv(8, 5)
                                 .relu()
                                 .max_pool(2)
                                 .dropout(0.3)
                                 .flatten()
                                 .dense(256)
                                 .relu()
                                 .dense(4)
                                 .build();
  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
  std::vector<float> weights_ = testing::weights_of(network_);
  testing::GeneratedBatch batch_{shards_, std::int64_t{28} * 28};
};

TEST_F(GroupsOfKernels, GiveTheBitsOfSingleShards) {
  if (!suits_) GTEST_SKIP() << "not run: there are no own kernels without fused multiply-adds";
  for (const std::int64_t samples : {100, 9, 128}) {
    const data::Stripes stripes(samples, samples, total_shards);
    for (const bool joins : {false, true}) {
      const Result expected = train(stripes, 2, 2, 6, joins);
      EXPECT_NE(expected.hash, 0U);
      EXPECT_EQ(train(stripes, 1, 2, 6, joins), expected) << samples << " samples, beside a team";
      for (const int workers : {1, 2, 3, 4})
        EXPECT_EQ(train(stripes, workers, 1, 6, joins), expected) << samples << " samples, " << workers;
    }
  }
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
