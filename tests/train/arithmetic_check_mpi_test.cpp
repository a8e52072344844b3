#include "train/arithmetic_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <stdexcept>

#include "comm/collective.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t shards = 8;
constexpr std::int64_t image_size = 6;
constexpr std::int64_t slab_size = 2 * Parameters::block;
constexpr std::int64_t steps = 30;

/// How a rank computes; for the shard that begins with `row` only.
struct Flaw {
  std::int64_t row = -1;
  int calls = 0;            ///< so many computations are wrong
  std::uint32_t error = 0;  ///< is put into the gradient's bits
  double loss = 0;          ///< is added to the loss
  bool throws = false;
};

/// Gradients and losses that depend on all of a shard's samples, on the epoch and on the weights.
class FlawedRunner final : public device::ShardRunner {
 public:
  FlawedRunner(std::int64_t samples, Flaw& flaw, int& runs, const std::span<const float>& weights)
      : samples_(samples), flaw_(flaw), runs_(runs), weights_(weights) {}

  device::Totals train(const device::ShardInput& input, std::span<float> gradient) override {
    ++runs_;
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] = weights_[i];
    device::Totals totals{.loss = 0, .correct = 0, .samples = samples_};
    for (std::int64_t sample = 0; sample < samples_; ++sample) {
      for (std::int64_t i = 0; i < image_size; ++i) totals.loss += input.images[sample * image_size + i];
      totals.correct += input.labels[sample];
      gradient[static_cast<std::size_t>(sample)] +=
          static_cast<float>(totals.loss) * static_cast<float>(input.rows[sample] + input.epoch);
    }
    if (input.rows[0] == flaw_.row && flaw_.calls > 0) {
      --flaw_.calls;
      if (flaw_.throws) throw std::runtime_error("a shard that fails");
      gradient.back() = std::bit_cast<float>(std::bit_cast<std::uint32_t>(gradient.back()) ^ flaw_.error);
      totals.loss += flaw_.loss;
    }
    return totals;
  }
  device::Totals evaluate(const device::ShardInput& /*input*/) override { return {}; }

 private:
  std::int64_t samples_;
  Flaw& flaw_;
  int& runs_;
  const std::span<const float>& weights_;
};

class FlawedPlan final : public device::Plan {
 public:
  FlawedPlan(std::int64_t samples, Flaw& flaw, int& runs) : samples_(samples), flaw_(flaw), runs_(runs) {}
  void load_piece(std::span<const float> weights, std::int64_t /*piece*/, const float* /*packed*/) override {
    weights_ = weights;
  }
  std::unique_ptr<device::ShardRunner> make_runner() override {
    return std::make_unique<FlawedRunner>(samples_, flaw_, runs_, weights_);
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return 10; }
  [[nodiscard]] std::int64_t shared_bytes() const override { return 1; }
  [[nodiscard]] std::vector<std::string> implementations() const override { return {}; }

 private:
  std::int64_t samples_;
  Flaw& flaw_;
  int& runs_;
  std::span<const float> weights_;
};

class FlawedBackend final : public device::Backend {
 public:
  [[nodiscard]] std::string describe() const override { return "flawed"; }
  std::unique_ptr<device::Plan> plan(const device::Network& /*network*/, std::int64_t samples,
                                     device::Mode /*mode*/) override {
    return std::make_unique<FlawedPlan>(samples, flaw, runs);
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
  Flaw flaw;
  int runs = 0;
};

void prepare_nothing() {}

/// 45 samples in batches of 20: full shards of 2 and 3, and a last step of 5 samples for 8 shards.
class ArithmeticCheckOnRanks : public ::testing::Test {
 protected:
  ArithmeticCheckOnRanks() {
    network_.input = Shape{image_size};
    network_.seed = 3;
    network_.parameters.declare("w", {slab_size});
    for (std::int64_t i = 0; i < slab_size; ++i)
      weights_[static_cast<std::size_t>(i)] = static_cast<float>(i % 7);
    for (int i = 0; i < comm::LocalTree::slabs_needed(own_, shards, 1); ++i)
      slabs_.push_back(slab_memory_.emplace_back(static_cast<std::size_t>(slab_size)).span());
    tree_.emplace(own_, shards, slabs_);
    engine_.emplace(backend_, network_, device::Mode::training, stripes_, own_, workers_);
    engine_->weights_changed(weights_);
    for (std::int64_t row = 0; row < stripes_.samples(); ++row) {
      rows_.push_back(row);
      labels_.push_back(static_cast<std::int32_t>(row % 5));
      for (std::int64_t i = 0; i < image_size; ++i) images_.push_back(static_cast<float>(row * 10 + i));
    }
    use(1);
  }

  void use(std::int64_t every) { check_.emplace(world_, backend_, network_, stripes_, every); }

  /// This rank's samples in a step that counts from 1 over all epochs.
  data::Batch batch(std::int64_t step) {
    data::Batch batch{.epoch = (step - 1) / stripes_.steps() + 1,
                      .step = (step - 1) % stripes_.steps(),
                      .global_samples = stripes_.step_samples((step - 1) % stripes_.steps()),
                      .shards = {}};
    for (std::int64_t shard = own_.begin; shard < own_.end; ++shard) {
      const Range rows = stripes_.rows(batch.step, {shard, shard + 1});
      const auto first = static_cast<std::size_t>(rows.begin);
      batch.shards.push_back({.shard = shard,
                              .count = rows.size(),
                              .images = images_.data() + first * image_size,
                              .labels = labels_.data() + first,
                              .rows = rows_.data() + first});
    }
    return batch;
  }

  /// What all ranks are told in a step, or "".
  std::string message(std::int64_t step) {
    const data::Batch own = batch(step);
    tree_->reset();
    try {
      engine_->train(own, *tree_, check_->begin_step(step));
      check_->finish_step(own, weights_);
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      return error.what();
    }
    return "";
  }

  CheckedShard checked(std::int64_t step) {
    return checked_shard(network_.seed, step, stripes_, world_.size());
  }

  /// Rank `rank` computes the checked shard of a step wrong, so many times.
  void spoil(int rank, std::int64_t step, Flaw flaw) {
    const std::int64_t shard = checked(step).shard;
    flaw.row = stripes_.rows((step - 1) % stripes_.steps(), {shard, shard + 1}).begin;
    backend_.flaw = world_.rank() == rank ? flaw : Flaw{};
  }

  std::string name(int rank) {
    return "rank " + std::to_string(rank) + " on " + world_.hosts()[static_cast<std::size_t>(rank)];
  }

  static constexpr int always = 1000;

  comm::World world_;
  data::Stripes stripes_{45, 20, shards};
  Range own_ = comm::shards_of_rank(shards, world_.size(), world_.rank());
  device::Network network_;
  FlawedBackend backend_;
  WorkerPool workers_{1, prepare_nothing};
  std::vector<float> weights_ = std::vector<float>(static_cast<std::size_t>(slab_size));
  std::vector<AlignedBuffer<float>> slab_memory_;
  std::vector<std::span<float>> slabs_;
  std::optional<comm::LocalTree> tree_;
  std::optional<ShardEngine> engine_;
  std::optional<ArithmeticCheck> check_;
  std::vector<float> images_;
  std::vector<std::int32_t> labels_;
  std::vector<std::int64_t> rows_;
};

TEST_F(ArithmeticCheckOnRanks, WhatIsComputedRightPasses) {
  for (std::int64_t step = 1; step <= steps; ++step) EXPECT_EQ(message(step), "");
}

TEST_F(ArithmeticCheckOnRanks, CostsOneMoreShardInTheStepsThatItChecks) {
  use(4);
  for (std::int64_t step = 1; step <= steps; ++step) {
    backend_.runs = 0;
    EXPECT_EQ(message(step), "");
    std::int64_t shards_run = backend_.runs;
    world_.sum({&shards_run, 1});
    const std::int64_t with_samples = std::min(shards, stripes_.step_samples((step - 1) % stripes_.steps()));
    EXPECT_EQ(shards_run, with_samples + (step % 4 == 0 ? 1 : 0)) << step;
  }
}

TEST_F(ArithmeticCheckOnRanks, MakesNoPlansWhereItNeverChecks) {
  use(0);
  EXPECT_EQ(check_->bytes(), 0);
  EXPECT_EQ(check_->begin_step(200), nullptr);
  use(1);
  EXPECT_GT(check_->bytes(), slab_size * std::int64_t{sizeof(float)});
}

TEST_F(ArithmeticCheckOnRanks, ARankThatIsWrongOnceIsNamed) {
  int named = 0;
  for (int rank = 0; rank < world_.size(); ++rank)
    for (std::int64_t step = 1; step <= steps; ++step) {
      const CheckedShard shard = checked(step);
      spoil(rank, step, step % 2 == 0 ? Flaw{.calls = 1, .error = 1} : Flaw{.calls = 1, .loss = 1e-9});
      const std::string text = message(step);
      const bool takes_part = rank == shard.owner || rank == shard.checker;  // a judge is not asked
      if (!takes_part) {
        EXPECT_EQ(text, "");
        continue;
      }
      ++named;
      EXPECT_THAT(text, StartsWith("step " + std::to_string(step) + ": " + name(rank) + " computed shard " +
                                   std::to_string(shard.shard) + (world_.size() > 2 ? " wrong" : " twice")));
    }
  EXPECT_GE(named, steps);
}

TEST_F(ArithmeticCheckOnRanks, ARankThatIsAlwaysWrongIsNamedByAThird) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank that is always wrong has nobody to notice it";
  for (int rank = 0; rank < world_.size(); ++rank)
    for (std::int64_t step = 1; step <= steps; ++step) {
      const CheckedShard shard = checked(step);
      spoil(rank, step, {.calls = always, .error = 1U << 31U});
      const std::string text = message(step);
      if (rank != shard.owner && rank != shard.checker)
        EXPECT_EQ(text, "");
      else if (world_.size() > 2)
        EXPECT_THAT(text, HasSubstr(": " + name(rank) + " computed shard"));
      else
        EXPECT_THAT(text, HasSubstr("the hosts compute differently"));
    }
}

TEST_F(ArithmeticCheckOnRanks, AJudgeThatIsWrongTooNamesAllThree) {
  if (world_.size() < 3) GTEST_SKIP() << "not run: takes three ranks";
  for (std::int64_t step = 1; step <= steps; ++step) {
    const CheckedShard shard = checked(step);
    spoil(shard.owner, step, {.calls = always, .error = 2});
    const Flaw owners = backend_.flaw;
    spoil(shard.judge, step, {.calls = always, .error = 4});
    if (world_.rank() == shard.owner) backend_.flaw = owners;
    const std::string text = message(step);
    for (const int rank : {shard.owner, shard.checker, shard.judge}) EXPECT_THAT(text, HasSubstr(name(rank)));
    EXPECT_THAT(text, HasSubstr("at least two of them compute wrong"));
  }
}

TEST_F(ArithmeticCheckOnRanks, WhatTheCheckerThrowsReachesAll) {
  if (world_.size() == 1)
    GTEST_SKIP() << "not run: the only rank would throw when it first computes the shard";
  for (std::int64_t step = 1; step <= steps; ++step) {
    spoil(checked(step).checker, step, {.calls = 1, .throws = true});
    EXPECT_EQ(message(step), name(checked(step).checker) + ": a shard that fails");
  }
}

}  // namespace
}  // namespace lockstep::train
