#include "train/plan_check.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "support/temporary_folder.h"
#include "train/arithmetic.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using device::Mode;
using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::HasSubstr;

/// A runner that gets one bit of a result wrong.
class WrongRunner final : public device::ShardRunner {
 public:
  explicit WrongRunner(std::unique_ptr<device::ShardRunner> right) : right_(std::move(right)) {}
  device::Totals train(const device::ShardInput& input, std::span<float> gradient) override {
    const device::Totals totals = right_->train(input, gradient);
    gradient[3] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(gradient[3]) ^ 1U);
    return totals;
  }
  device::Totals evaluate(const device::ShardInput& input) override {
    device::Totals totals = right_->evaluate(input);
    totals.loss = std::nextafter(totals.loss, 0);
    return totals;
  }

 private:
  std::unique_ptr<device::ShardRunner> right_;
};

class WrongPlan final : public device::Plan {
 public:
  explicit WrongPlan(std::unique_ptr<device::Plan> right) : right_(std::move(right)) {}
  [[nodiscard]] device::Packing packing() const override { return right_->packing(); }
  void pack(std::span<const float> weights, std::int64_t piece, float* packed) const override {
    right_->pack(weights, piece, packed);
  }
  [[nodiscard]] Range packing_source(std::int64_t piece) const override {
    return right_->packing_source(piece);
  }
  [[nodiscard]] std::int64_t load_pieces() const override { return right_->load_pieces(); }
  void load_piece(std::span<const float> weights, std::int64_t piece, const float* packed) override {
    right_->load_piece(weights, piece, packed);
  }
  std::unique_ptr<device::ShardRunner> make_runner() override {
    return std::make_unique<WrongRunner>(right_->make_runner());
  }
  [[nodiscard]] std::int64_t runner_bytes() const override { return right_->runner_bytes(); }
  [[nodiscard]] std::int64_t shared_bytes() const override { return right_->shared_bytes(); }
  [[nodiscard]] std::vector<std::string> implementations() const override {
    return right_->implementations();
  }

 private:
  std::unique_ptr<device::Plan> right_;
};

/// The CPU, but wrong in plans of one mode and size.
class WrongBackend final : public device::Backend {
 public:
  WrongBackend(Mode mode, std::int64_t samples) : mode_(mode), samples_(samples) {}
  [[nodiscard]] std::string describe() const override { return right_->describe(); }
  std::unique_ptr<device::Plan> plan(const device::Network& network, std::int64_t samples,
                                     Mode mode) override {
    auto plan = right_->plan(network, samples, mode);
    if (mode != mode_ || samples != samples_) return plan;
    return std::make_unique<WrongPlan>(std::move(plan));
  }
  bool sgd_update(const device::SgdArguments& arguments, std::span<float> weights,
                  std::span<const float> gradient, std::span<float> velocity) override {
    return right_->sgd_update(arguments, weights, gradient, velocity);
  }
  bool adamw_update(const device::AdamWArguments& arguments, std::span<float> weights,
                    std::span<const float> gradient, std::span<float> moment1,
                    std::span<float> moment2) override {
    return right_->adamw_update(arguments, weights, gradient, moment1, moment2);
  }

 private:
  Mode mode_;
  std::int64_t samples_;
  std::unique_ptr<device::Backend> right_ = device::make_cpu_backend();
};

class PlanCheckOnRanks : public ::testing::Test {
 protected:
  /// What the check returns or, with its code in front, says.
  std::string check(std::span<const PlanHash> own) {
    try {
      return fmt::format("{:016x}", check_same_plans(world_, own));
    } catch (const comm::AgreedError& error) {
      return fmt::format("{} {}", static_cast<int>(error.code()), error.what());
    }
  }
  /// Of a training as far as its first step. Its shards have 4 samples, in the last step 1 or 2; those of the
  /// validation set 4, in the last step 2 or 3.
  std::string check_training(device::Backend& backend, const std::vector<std::string>& overrides = {}) {
    const lockstep::testing::TemporaryFolder folder;
    const Blueprint blueprint =
        make_blueprint(sample_experiment(write_samples(folder.file("data.h5"), 32 * 3 + 13), overrides));
    WorkerPool workers(2, device::prepare_cpu_thread);
    const Trainer trainer(world_, blueprint, {.backend = backend, .workers = workers});
    return check(trainer.plan_hashes());
  }
  [[nodiscard]] std::string place(int rank) const {
    return fmt::format(" on rank {} ({}), ", rank, world_.hosts()[static_cast<std::size_t>(rank)]);
  }

  comm::World world_;
};

TEST_F(PlanCheckOnRanks, FindsOneHashThatIsOther) {
  std::vector<PlanHash> own{{Mode::training, 16, 1}, {Mode::training, 15, 2}, {Mode::evaluation, 16, 3}};
  const std::string right = check(own);
  EXPECT_EQ(right.size(), 16U) << right;
  // Of two ranks it is not known which is wrong, and the second is compared with the first.
  for (int wrong = world_.size() > 2 ? 0 : 1; wrong < world_.size(); ++wrong)
    for (std::size_t plan = 0; plan < own.size(); ++plan) {
      std::vector<PlanHash> mine = own;
      if (world_.rank() == wrong) mine[plan].hash += 0x80;
      const std::string said = check(mine);
      EXPECT_THAT(said, ::testing::StartsWith("70 before the first step: "));
      EXPECT_THAT(said, HasSubstr(fmt::format("{} a shard of {} samples: 000000000000008{}",
                                              plan < 2 ? "training" : "evaluating", own[plan].samples,
                                              own[plan].hash) +
                                  place(wrong)));
    }
  if (world_.rank() == world_.size() - 1) own[0].hash ^= 1;
  if (world_.size() == 1) {
    EXPECT_NE(check(own), right);
  } else {
    EXPECT_THAT(check(own), HasSubstr("training a shard of 16 samples"));
  }
}

TEST_F(PlanCheckOnRanks, DoesNotDependOnWhoHasWhichPlan) {
  const std::vector<PlanHash> all{{Mode::training, 16, 1}, {Mode::training, 15, 2}, {Mode::evaluation, 3, 3}};
  std::vector<PlanHash> own;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (static_cast<int>(i) % world_.size() == world_.rank()) own.push_back(all[i]);
  EXPECT_EQ(check(own), check(all));
}

TEST_F(PlanCheckOnRanks, FindsTheRankThatComputesATrainingPlanWrong) {
  const auto right = device::make_cpu_backend();
  const std::string expected = check_training(*right);
  EXPECT_EQ(expected.size(), 16U) << expected;
  if (world_.size() == 1) {
    WrongBackend wrong(Mode::training, 4);
    EXPECT_NE(check_training(wrong), expected) << "one rank has nobody to compare with, but other bits";
    return;
  }
  for (const int rank : {1, world_.size() - 1}) {
    WrongBackend wrong(Mode::training, 4);
    const std::string said = check_training(world_.rank() == rank ? wrong : *right);
    EXPECT_THAT(said, HasSubstr("training a shard of 4 samples: "));
    EXPECT_THAT(said, HasSubstr(place(rank)));
    EXPECT_THAT(said, ::testing::Not(HasSubstr("evaluating")));
  }
}

TEST_F(PlanCheckOnRanks, FindsTheRankThatComputesAnEvaluationWrong) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: one rank has nobody to compare with";
  const auto right = device::make_cpu_backend();
  WrongBackend wrong(Mode::evaluation, 4);
  const int rank = world_.size() - 1;
  const std::string said = check_training(world_.rank() == rank ? wrong : *right);
  EXPECT_THAT(said, HasSubstr("evaluating a shard of 4 samples: "));
  EXPECT_THAT(said, HasSubstr(place(rank)));
  EXPECT_THAT(said, ::testing::Not(HasSubstr("training a shard")));
}

/// The hash speaks of the machine and the network, not of what is learnt.
TEST_F(PlanCheckOnRanks, DoesNotDependOnTheSeedOrTheNumberOfRanks) {
  const auto backend = device::make_cpu_backend();
  const std::vector<std::string> no_dropout{"model.dropout_1.rate=0"};
  const std::string expected = check_training(*backend, no_dropout);
  EXPECT_EQ(check_training(*backend, {no_dropout[0], "seed=2"}), expected);
  EXPECT_NE(check_training(*backend, {no_dropout[0], "model.dense_1.units=8"}), expected);

  // One rank would have all shards, and so all plans.
  const lockstep::testing::TemporaryFolder folder;
  const Blueprint blueprint =
      make_blueprint(sample_experiment(write_samples(folder.file("data.h5"), 32 * 3 + 13), no_dropout));
  WorkerPool workers(1, device::prepare_cpu_thread);
  std::vector<PlanHash> all;
  const auto hash_all = [&](Mode mode, const data::Stripes& stripes) {
    ShardEngine engine(*backend, blueprint.network, mode, stripes, {0, stripes.shards()}, workers);
    std::vector<float> weights(static_cast<std::size_t>(blueprint.network.parameters.slab_size()));
    std::vector<float> gradient(weights.size(), 7);
    generate_weights(blueprint.network.parameters, weights);
    engine.weights_changed(weights);
    for (const PlanHash& hash : engine.hash_plans(gradient)) all.push_back(hash);
  };
  hash_all(Mode::training, blueprint.train_stripes());
  hash_all(Mode::evaluation, blueprint.validation_stripes());
  EXPECT_EQ(check(all), expected);
}

TEST_F(PlanCheckOnRanks, FindsTheRankOfAnotherBuild) {
  pin_instruction_set(world_, {});
  const Facts facts = build_facts();
  EXPECT_NO_THROW(check_same_build(world_, facts));
  if (world_.size() == 1) GTEST_SKIP() << "not run: one rank has nobody to compare with";
  const int odd = world_.size() - 1;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    Facts own = facts;
    if (world_.rank() == odd) own[i].value = "another";
    try {
      check_same_build(world_, own);
      FAIL() << facts[i].name;
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_config);
      EXPECT_THAT(error.what(), HasSubstr("\n" + facts[i].name + ": another" + place(odd)));
    }
  }
}

}  // namespace
}  // namespace lockstep::train
