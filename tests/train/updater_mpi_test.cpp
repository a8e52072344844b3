#include "train/updater.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "comm/collective.h"
#include "comm/reduction_tree.h"
#include "comm/world.h"
#include "train/divergence.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t shards = 8;
constexpr std::int64_t samples = 4;  // a power of two: means of integers are exact
constexpr int layers = 7;

/// Gradient of a shard: an integer that depends on where it is, so that sums are exact.
float gradient_of(std::int64_t shard, std::int64_t offset) {
  return static_cast<float>((shard + 1) * (offset % 13 - 6));
}

float gradient_of_all(std::int64_t offset) {
  float sum = 0;
  for (std::int64_t shard = 0; shard < shards; ++shard) sum += gradient_of(shard, offset);
  return sum;
}

/// A step of plain SGD, of rate 1, on all ranks.
class UpdaterOnRanks : public ::testing::Test {
 protected:
  UpdaterOnRanks() {
    for (int i = 0; i < layers; ++i) parameters_.declare("layer" + std::to_string(i) + ".weight", {60, 41});
    collective_ = comm::make_collective(world_, parameters_.slab_size(), shards);
    weights_ = collective_->make_slab();
    reducer_ = comm::make_gradient_reducer(config::Reproducibility::lockstep, *collective_,
                                           parameters_.slab_size(), shards);
    use(config::Sgd{});
    const auto trees = comm::subtrees(comm::shards_of_rank(shards, world_.size(), world_.rank()), shards);
    for (int i = 0; i < static_cast<int>(shards); ++i) slabs_.push_back(collective_->make_slab());
    for (std::size_t i = 0; i < trees.size(); ++i) {
      for (std::int64_t offset = 0; offset < parameters_.slab_size(); ++offset)
        for (std::int64_t shard = trees[i].first; shard < trees[i].first + trees[i].count; ++shard)
          slabs_[i][static_cast<std::size_t>(offset)] += gradient_of(shard, offset);
      partials_.push_back({trees[i], slabs_[i].data()});
    }
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] = start_of(i);
  }

  void use(const config::Optimizer& settings) {
    optimizer_ = optim::make_optimizer(settings, *backend_, reducer_->owned());
  }

  static float start_of(std::size_t offset) { return static_cast<float>(offset % 7); }

  std::optional<NotFinite> apply(double learning_rate = 1, const comm::CompleteSums& complete = {}) {
    MemoryCheck memory(parameters_, Ownership::slices, reducer_->owned(), optimizer_->state(), workers_);
    Updater updater(*reducer_, *optimizer_, memory, workers_);
    optimizer_->begin_step(1, learning_rate);
    const std::optional<NotFinite> found = updater.apply(partials_, complete, samples, weights_);
    reducer_->end(weights_);
    return found;
  }

  /// Spoils the partial sums of the last rank.
  void spoil(std::int64_t offset, float value) {
    if (world_.rank() + 1 == world_.size())
      slabs_[partials_.size() - 1][static_cast<std::size_t>(offset)] = value;
  }

  std::string message(const std::optional<NotFinite>& found) {
    try {
      throw_divergence(world_, parameters_, {.epoch = 2, .step = 5, .steps = 9, .last_good_loss = 0.5},
                       found);
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_data);
      return error.what();
    }
  }

  comm::World world_;
  Parameters parameters_;
  std::unique_ptr<device::Backend> backend_ = device::make_cpu_backend();
  std::unique_ptr<comm::Collective> collective_;
  std::unique_ptr<comm::GradientReducer> reducer_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  WorkerPool workers_{2, device::prepare_cpu_thread};
  std::span<float> weights_;
  std::vector<std::span<float>> slabs_;
  std::vector<comm::Partial> partials_;
};

TEST_F(UpdaterOnRanks, EveryRankHasTheNewWeights) {
  EXPECT_FALSE(apply().has_value());
  for (std::size_t i = 0; i < weights_.size(); ++i)
    ASSERT_EQ(weights_[i], start_of(i) - gradient_of_all(static_cast<std::int64_t>(i)) / samples) << i;
}

/// Of ranges that begin and end within blocks and slices, one of them right behind another, and one with the
/// slab's last numbers.
TEST_F(UpdaterOnRanks, CompleteSumsCountInsteadOfPartialOnes) {
  const std::int64_t size = parameters_.slab_size();
  const std::array<Range, 4> ranges{
      {{5, 700}, {700, 3100}, {size / 2 - 9, size / 2 + 1500}, {size - 33, size}}};
  const std::span<float> sums = collective_->make_common(size, "complete sums");
  for (const Range& range : ranges) {
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      if (i % world_.size() == world_.rank()) sums[static_cast<std::size_t>(i)] = gradient_of_all(i);
      for (std::size_t partial = 0; partial < partials_.size(); ++partial)
        slabs_[partial][static_cast<std::size_t>(i)] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  EXPECT_FALSE(apply(1, {.ranges = ranges, .slab = sums.data()}).has_value());
  for (std::size_t i = 0; i < weights_.size(); ++i)
    ASSERT_EQ(weights_[i], start_of(i) - gradient_of_all(static_cast<std::int64_t>(i)) / samples) << i;
}

TEST_F(UpdaterOnRanks, OwnerFindsASpoiltGradientWhoeverMadeIt) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (int layer = 0; layer < layers; ++layer) {
      const std::int64_t offset = parameters_[layer].offset + 100 * layer + 3;
      spoil(offset, bad);
      const std::optional<NotFinite> found = apply();
      EXPECT_EQ(found.has_value(), reducer_->owned().contains(offset));
      if (found) {
        EXPECT_EQ(found->offset, offset);
        EXPECT_EQ(found->where, NotFinite::Where::gradient);
      }
      EXPECT_THAT(message(found),
                  HasSubstr("epoch 2, step 5 of 9: the gradient of layer" + std::to_string(layer) +
                            ".weight is not finite; last good loss: 0.5"));
      spoil(offset, 0);
      for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] = start_of(i);
    }
  }
}

/// Whichever worker meets it, and when.
TEST_F(UpdaterOnRanks, FirstOfSeveralIsNamed) {
  const std::int64_t first = parameters_[1].offset + 7;
  for (const std::int64_t offset : {parameters_[6].offset, first, parameters_[3].offset + 1})
    spoil(offset, std::numeric_limits<float>::quiet_NaN());
  for (int repetition = 0; repetition < 50; ++repetition)
    ASSERT_THAT(message(apply()), HasSubstr("the gradient of layer1.weight"));
}

TEST_F(UpdaterOnRanks, WeightThatOverflowsIsFoundToo) {
  const std::int64_t offset = parameters_[5].offset + 11;
  spoil(offset, 1e30F);
  const std::optional<NotFinite> found = apply(1e10);
  if (reducer_->owned().contains(offset)) {
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->offset, offset);
    EXPECT_EQ(found->where, NotFinite::Where::weight);
  }
  EXPECT_THAT(message(found), HasSubstr("a new weight in layer5.weight is not finite"));
}

TEST_F(UpdaterOnRanks, OptimizerStateThatOverflowsIsFoundToo) {
  use(config::AdamW{});
  const std::int64_t offset = parameters_[4].offset + 13;
  spoil(offset, 1e25F);  // finite, its square is not
  spoil(parameters_[6].offset + 2, 1e25F);
  const std::optional<NotFinite> found = apply();
  for (const float weight : weights_) ASSERT_TRUE(std::isfinite(weight));
  if (reducer_->owned().contains(offset)) {
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->offset, offset);
    EXPECT_EQ(found->where, NotFinite::Where::optimizer_state);
  }
  EXPECT_THAT(message(found), HasSubstr("the optimizer state of layer4.weight is not finite"));
}

TEST_F(UpdaterOnRanks, WithoutATensorToBlameItIsTheLoss) {
  EXPECT_THAT(message(std::nullopt), HasSubstr("epoch 2, step 5 of 9: the loss is not finite"));
}

}  // namespace
}  // namespace lockstep::train
