// Whole trainings of a few steps in which memory or a processor fails.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "comm/world.h"
#include "device/cpu/fused/choice.h"
#include "support/temporary_folder.h"
#include "train/hooked_backend.h"
#include "train/rank_memory.h"
#include "train/sample_training.h"
#include "train/trainer.h"

namespace lockstep::train {
namespace {

using lockstep::testing::Hooks;
using lockstep::testing::make_hooked_backend;
using lockstep::testing::sample_experiment;
using lockstep::testing::write_samples;
using ::testing::HasSubstr;

/// Keeps what must be equal in every run: weights after each step; optimizer state, order of samples and
/// metrics of each epoch.
class DigestKeeper final : public metrics::Sink {
 public:
  using Line = std::tuple<std::int64_t, std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;

  DigestKeeper(std::vector<Line>& lines, const std::function<void(const metrics::StepRecord&)>& after_step)
      : lines_(lines), after_step_(after_step) {}
  void step(const metrics::StepRecord& record) override {
    if (after_step_) after_step_(record);
  }
  void digest(const metrics::DigestRecord& record) override {
    const metrics::EpochDigests epoch = record.at_epoch_end.value_or(metrics::EpochDigests{});
    lines_.emplace_back(record.step, record.weights, epoch.optimizer, epoch.samples, epoch.metrics);
  }

 private:
  std::vector<Line>& lines_;
  const std::function<void(const metrics::StepRecord&)>& after_step_;
};

struct Outcome {
  std::vector<DigestKeeper::Line> digests;
  std::vector<float> weights;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Two epochs of three steps each, the last of them smaller, with 600 hidden units: 7 blocks of weights.
class TrainerChecks : public ::testing::Test {
 protected:
  static constexpr std::int64_t samples = 32 * 2 + 13;
  static constexpr std::int64_t steps = 3;  // of an epoch

  void make_trainer(std::vector<std::string> overrides) {
    overrides.emplace_back("model.7.units=600");
    trainer_.reset();
    blueprint_ = make_blueprint(sample_experiment(data_, overrides));
    trainer_ =
        std::make_unique<Trainer>(world_, blueprint_, Resources{.backend = *backend_, .workers = *workers_});
  }

  Outcome train() {
    shards_trained_ = 0;
    Outcome outcome;
    Sinks sinks;
    sinks.push_back(std::make_unique<DigestKeeper>(outcome.digests, after_step_));
    metrics::RunSummary summary;
    trainer_->run(sinks, summary, {});
    outcome.weights.assign(trainer_->weights().begin(), trainer_->weights().end());
    return outcome;
  }

  Outcome train(std::vector<std::string> overrides) {
    make_trainer(std::move(overrides));
    return train();
  }

  std::string error_of_training() {
    try {
      train();
    } catch (const comm::AgreedError& error) {
      EXPECT_EQ(error.code(), ExitCode::internal);
      return error.what();
    }
    return "";
  }

  void flip(std::int64_t offset) {
    auto& weight = const_cast<float&>(trainer_->weights()[static_cast<std::size_t>(offset)]);
    weight = std::bit_cast<float>(std::bit_cast<std::uint32_t>(weight) ^ (1U << 22U));
  }

  /// On rank `victim`, flips a bit after the first step, and another when the first shard of the fourth is
  /// computed: one in the weights that it owns, if any, the other in those of another rank. All ranks count
  /// the shards that they compute.
  void fail_twice(int victim) {
    hooks_.after = [this](const device::ShardInput& /*input*/, std::span<float> /*gradient*/) {
      ++shards_trained_;
    };
    if (world_.rank() != victim) return;
    const Range own = trainer_->replica().owned();
    const std::int64_t inside = own.empty() ? 5 : own.begin + 5;
    const std::int64_t outside = (own.end + 100) % std::ssize(trainer_->weights());
    after_step_ = [this, inside](const metrics::StepRecord& record) {
      if (record.epoch == 1 && record.step == 1) flip(inside);
      is_due_ = record.epoch == 1 && record.step == steps;
    };
    hooks_.after = [this, outside](const device::ShardInput& /*input*/, std::span<float> /*gradient*/) {
      ++shards_trained_;
      if (std::exchange(is_due_, false)) flip(outside);
    };
  }

  /// The first weight of the layer that own kernels pack.
  [[nodiscard]] std::int64_t packed_weight() const {
    for (const Parameter& parameter : blueprint_.network.parameters.all())
      if (parameter.name == "dense_1.weight") return parameter.offset;
    throw std::logic_error("the sample has a layer dense_1");
  }

  void heal() {
    hooks_ = {};
    after_step_ = nullptr;
  }

  std::string name(int rank) {
    return fmt::format("rank {} on {}", rank, world_.hosts()[static_cast<std::size_t>(rank)]);
  }

  comm::World world_;
  lockstep::testing::TemporaryFolder folder_;  // one for each rank
  std::string data_ = write_samples(folder_.file("data.h5"), samples);
  Hooks hooks_;
  std::function<void(const metrics::StepRecord&)> after_step_;
  std::unique_ptr<device::Backend> backend_ = make_hooked_backend(hooks_);
  std::unique_ptr<WorkerPool> workers_ = std::make_unique<WorkerPool>(1, device::prepare_cpu_thread);
  Blueprint blueprint_;
  std::unique_ptr<Trainer> trainer_;
  std::int64_t shards_trained_ = 0;  // by this rank
  bool is_due_ = false;              // the second flip of fail_twice()
};

TEST_F(TrainerChecks, ChangeNoBitOfWhatIsTrained) {
  const Outcome plain = train({"checks.memory=off", "checks.arithmetic_every=0"});
  ASSERT_EQ(plain.digests.size(), 1 + 2 * static_cast<std::size_t>(steps));
  EXPECT_EQ(train({"checks.memory=repair", "checks.arithmetic_every=1"}), plain);
}

TEST_F(TrainerChecks, RepairedWeightsTrainAsIfNothingHadHappened) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  for (const char* reproducibility : {"lockstep", "run"}) {
    const std::vector<std::string> overrides{fmt::format("training.reproducibility={}", reproducibility),
                                             "checks.memory=repair", "checks.arithmetic_every=0"};
    const Outcome undisturbed = train(overrides);
    const bool each_in_turn = std::string_view(reproducibility) == "lockstep";
    for (int victim = each_in_turn ? 0 : world_.size() - 1; victim < world_.size(); ++victim) {
      make_trainer(overrides);
      fail_twice(victim);
      EXPECT_EQ(train(), undisturbed) << reproducibility << ", rank " << victim;
      heal();
      std::int64_t trained = shards_trained_;
      world_.sum({&trained, 1});
      EXPECT_EQ(trained, (2 * steps + 2) * blueprint_.experiment.training.shards)
          << "two steps are computed twice";
    }
  }
}

TEST_F(TrainerChecks, DamageDuringTheEvaluationIsRepairedToo) {
  if (world_.size() == 1) GTEST_SKIP() << "not run: a rank alone has nobody to fetch weights from";
  const Outcome undisturbed = train({"checks.memory=repair"});
  const int victim = world_.size() - 1;
  make_trainer({"checks.memory=repair"});
  bool flipped = false;
  if (world_.rank() == victim)
    hooks_.evaluating = [&] {
      if (!std::exchange(flipped, true)) flip(7);
    };
  EXPECT_EQ(train(), undisturbed);
  EXPECT_EQ(flipped, world_.rank() == victim);
}

TEST_F(TrainerChecks, WhatIsNotOrCannotBeRepairedIsTheEnd) {
  const bool alone = world_.size() == 1;
  const int victim = world_.size() - 1;
  make_trainer({alone ? "checks.memory=repair" : "checks.memory=stop"});
  fail_twice(victim);
  const std::string text = error_of_training();
  EXPECT_THAT(text, HasSubstr("before step 2: bits of the weights ("));
  EXPECT_THAT(text, HasSubstr(alone ? "No rank has them whole" : name(victim)));
}

/// Some look at it while others compute shards.
TEST_F(TrainerChecks, DamageAnywhereIsFoundByAnyNumberOfWorkers) {
  const int victim = world_.size() - 1;
  for (const int workers : {2, 3}) {
    trainer_.reset();
    workers_ = std::make_unique<WorkerPool>(workers, device::prepare_cpu_thread);
    for (std::int64_t block = 0; block < 7; ++block) {
      make_trainer({"checks.memory=stop"});
      if (world_.rank() == victim)
        after_step_ = [this, block](const metrics::StepRecord& record) {
          if (record.epoch == 1 && record.step == 1) flip(block * Parameters::block + 5);
        };
      EXPECT_THAT(error_of_training(), HasSubstr("before step 2: bits of the weights ("))
          << workers << " " << block;
      heal();
    }
  }
}

/// A rank whose weights are damaged when it packs them spoils the step of all ranks of its host.
TEST_F(TrainerChecks, WhatWasPackedFromDamagedWeightsIsPackedAgain) {
  if (world_.size() == 1) return;  // no other rank has them whole
  if (!device::cpu::fused::processor_suits()) GTEST_SKIP() << "not run: nothing is packed on this processor";
  for (const std::string mode : {"lockstep", "run"}) {
    SCOPED_TRACE(mode);
    const std::string reproducibility = "training.reproducibility=" + mode;
    const Outcome undisturbed = train({reproducibility});
    make_trainer({reproducibility, "checks.memory=repair"});
    bool flipped = false;
    if (world_.is_root())  // who packs the first piece, in which is the first weight of the large layer
      hooks_.packing = [&](std::int64_t piece) {
        if (piece == 0 && !std::exchange(flipped, true)) flip(packed_weight());
      };
    EXPECT_EQ(train(), undisturbed);
    EXPECT_EQ(flipped, world_.is_root());
    heal();
  }
}

TEST_F(TrainerChecks, EachPieceOfTheWeightsIsPackedByOneRankOfTheHost) {
  if (!device::cpu::fused::processor_suits()) GTEST_SKIP() << "not run: nothing is packed on this processor";
  // The second dense layer is packed in evaluation as well, by each rank for itself.
  make_trainer({"checks.arithmetic_every=0", "model.8=relu", "model.10.units=70"});
  const auto pieces = [&](device::Mode mode) {
    return backend_->plan(blueprint_.network, 1, mode)->packing().pieces;
  };
  std::int64_t packed = 0;
  hooks_.packing = [&](std::int64_t /*piece*/) { ++packed; };
  train();
  heal();
  world_.sum({&packed, 1});
  const int packers = trainer_->replica().exchange() == "shared memory" ? 1 : world_.size();
  ASSERT_GT(pieces(device::Mode::evaluation), 0);
  EXPECT_EQ(packed, 2 * steps * packers * pieces(device::Mode::training) +
                        2 * world_.size() * pieces(device::Mode::evaluation));
}

TEST_F(TrainerChecks, RanksThatAreLateInTurnChangeNothing) {
  for (const std::string mode : {"lockstep", "run"}) {
    SCOPED_TRACE(mode);
    make_trainer({"training.reproducibility=" + mode});
    const Outcome undisturbed = train();
    make_trainer({"training.reproducibility=" + mode});
    int packings = 0, shards = 0;
    const auto wait_in_turn = [this](int call) {
      if (call % (world_.size() + 1) == world_.rank())
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    hooks_.packing = [&](std::int64_t /*piece*/) { wait_in_turn(packings++); };
    hooks_.before = [&](const device::ShardInput& /*input*/) { wait_in_turn(shards++); };
    EXPECT_EQ(train(), undisturbed);
    heal();
  }
}

TEST_F(TrainerChecks, MemoryIsNotLookedAtWhereThatIsOff) {
  make_trainer({"checks.memory=off"});
  fail_twice(0);
  const Outcome damaged = train();
  EXPECT_EQ(damaged.digests.size(), 1 + 2 * static_cast<std::size_t>(steps));
}

TEST_F(TrainerChecks, TakeTheMemoryThatThePlanSays) {
  for (const std::int64_t every : {0, 5}) {
    blueprint_ = make_blueprint(
        sample_experiment(data_, {fmt::format("checks.arithmetic_every={}", every), "model.7.units=600"}));
    const ArithmeticCheck check(world_, *backend_, blueprint_.network, blueprint_.train_stripes(), every);
    const RankMemory memory =
        rank_memory(blueprint_, *backend_,
                    std::vector<std::int64_t>(static_cast<std::size_t>(world_.size()), 1), world_.rank());
    EXPECT_EQ(memory.checks, check.bytes());
  }
}

TEST_F(TrainerChecks, AGradientThatAnOwnerComputesWrongIsNotApplied) {
  constexpr std::int64_t bad_step = 4;
  make_trainer({"checks.arithmetic_every=2"});
  const data::Stripes stripes = blueprint_.train_stripes();
  const CheckedShard checked = checked_shard(blueprint_.experiment.seed, bad_step, stripes, world_.size());
  const Range own = comm::shards_of_rank(stripes.shards(), world_.size(), checked.owner);
  if (world_.rank() == checked.owner)
    hooks_.after = [&, epoch = std::int64_t{2}](const device::ShardInput& input, std::span<float> gradient) {
      if (input.epoch != epoch) return;
      if (shards_trained_++ == checked.shard - own.begin) gradient[17] += 1;
    };
  EXPECT_THAT(error_of_training(), HasSubstr(fmt::format("step {}: {} computed shard {} ", bad_step,
                                                         name(checked.owner), checked.shard)));
}

}  // namespace
}  // namespace lockstep::train
