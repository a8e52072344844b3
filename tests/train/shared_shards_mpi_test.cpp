// Ranks of a host compute shards of each other.
#include "train/shared_shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "device/cpu/fused/choice.h"
#include "device/network_builder.h"
#include "train/generated_batch.h"
#include "train/hooked_backend.h"
#include "train/plan_check.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t total_shards = 16;

TEST(SharedShards, AreTheLastOfARankThatHasSeveral) {
  EXPECT_EQ(shards_to_share({0, 4}, {}, 2), (Range{3, 4}));
  EXPECT_EQ(shards_to_share({8, 16}, {}, 2), (Range{14, 16}));
  EXPECT_EQ(shards_to_share({64, 128}, {}, 2), (Range{126, 128}));
  EXPECT_EQ(shards_to_share({2, 4}, {}, 4), (Range{3, 4}));
  EXPECT_TRUE(shards_to_share({2, 3}, {}, 8).empty()) << "a rank begins with its only shard itself";
  EXPECT_TRUE(shards_to_share({2, 2}, {}, 8).empty());
  EXPECT_TRUE(shards_to_share({0, 8}, {}, 1).empty()) << "nobody is there to take any";
  EXPECT_TRUE(shards_to_share({0, 8}, {.size = 2, .in_flight = 2}, 2).empty()) << "in groups";
  EXPECT_EQ(shards_to_share({0, 8}, {.size = 2, .shares = true}, 2), (Range{6, 8}));
}

/// So that they are enough in steps in which a rank keeps all of its shards.
TEST(SharedShards, NeedNoFewerSlabsThanATreeOfAll) {
  for (const std::int64_t total : {8, 16, 64})
    for (const int ranks : {2, 3, 4, 8})
      for (const int workers : {1, 2, 5})
        for (int rank = 0; rank < ranks; ++rank) {
          const Range shards = comm::shards_of_rank(total, ranks, rank);
          EXPECT_GE(slabs_with_shared(shards, total, workers, {}, ranks),
                    comm::LocalTree::slabs_needed(shards, total, workers));
        }
}

/// In a step each pair takes its slabs, and adds them, before the next one begins; shards that are shared
/// have theirs from the start, and come last. In others pairs go on to the end. The tree throws if they are
/// too few.
TEST(SharedShards, HaveEnoughSlabsBesidePairs) {
  constexpr Grouping pairs{.size = 2, .shares = true};
  for (const std::int64_t total : {8, 16, 64})
    for (const int ranks : {2, 3, 4, 7})
      for (int rank = 0; rank < ranks; ++rank)
        for (const bool shares : {false, true}) {
          const Range shards = comm::shards_of_rank(total, ranks, rank);
          const auto slabs = static_cast<std::size_t>(slabs_with_shared(shards, total, 1, pairs, ranks));
          std::vector<std::vector<float>> memory(slabs, std::vector<float>(1));
          comm::LocalTree tree(shards, total, {memory.begin(), memory.end()});
          const Range shared = shares ? shards_to_share(shards, pairs, ranks) : Range{shards.end, shards.end};
          std::vector<std::span<float>> offered;
          while (std::ssize(offered) < shared.size()) offered.push_back(tree.take_slab());
          for (std::int64_t first = shards.begin, end = 0; first < shared.begin; first = end) {
            end = std::min((first / 2 + 1) * 2, shared.begin);
            std::vector<std::span<float>> own;
            while (std::ssize(own) < end - first) own.push_back(tree.take_slab());
            for (std::int64_t shard = first; shard < end; ++shard)
              tree.add(shard, own[static_cast<std::size_t>(shard - first)]);
          }
          for (std::int64_t i = 0; i < shared.size(); ++i)
            tree.add(shared.begin + i, offered[static_cast<std::size_t>(i)]);
          EXPECT_EQ(tree.partials().empty(), shards.empty());
        }
}

struct Outcome {
  std::vector<std::vector<float>> sums;
  std::vector<double> losses;
  std::vector<std::int64_t> correct, samples;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// How ranks are connected, and what they train.
struct Kind {
  const char* collective;
  bool makes_groups;  ///< the network has a layer so large that shards go through it together
};

/// The shards of a step, with the engine and the slabs of a training.
class SharedShardsTest : public ::testing::TestWithParam<Kind> {
 protected:
  SharedShardsTest() {
    setenv("LOCKSTEP_COLLECTIVE", GetParam().collective, 1);
    collective_ = comm::make_collective(world_, network_.parameters.slab_size(), total_shards);
    weights_.resize(static_cast<std::size_t>(network_.parameters.slab_size()));
    generate_weights(network_.parameters, weights_);
    const auto plan = backend_->plan(network_, 3, device::Mode::training);
    std::int64_t slabs = 0;
    for (const int team : {1, collective_->team().size}) {
      const Grouping grouping = group_shards(*plan, shards_, workers_.size(), team);
      slabs = std::max<std::int64_t>(
          slabs, slabs_with_shared(shards_, total_shards, workers_.size(), grouping, team));
    }
    world_.max({&slabs, 1});
    while (std::ssize(slabs_) < slabs) slabs_.push_back(collective_->make_slab());
    if (joint_) {
      tree_.emplace(shards_, total_shards, slabs_, joint_->ranges());
    } else {
      tree_.emplace(shards_, total_shards, slabs_);
    }
  }
  ~SharedShardsTest() override { unsetenv("LOCKSTEP_COLLECTIVE"); }

  std::unique_ptr<ShardEngine> engine(const data::Stripes& stripes, bool shares) {
    auto engine = std::make_unique<ShardEngine>(*backend_, network_, device::Mode::training, stripes, shards_,
                                                workers_, shares ? collective_->team().size : 1);
    if (joint_) engine->join(*joint_);
    if (!shares) return engine;
    engine->share_packing(*collective_, Ownership::slices);
    engine->share_joint_gradients(*collective_, Ownership::everything);  // into the tree
    engine->share_shards(*collective_);
    return engine;
  }

  const data::Batch& batch(const data::Stripes& stripes, int step) { return batch_.of_step(stripes, step); }

  Outcome train(ShardEngine& engine, const data::Batch& batch, ShardWatch* watch = nullptr) {
    tree_->reset();
    engine.weights_changed(weights_);
    Outcome outcome;
    for (const device::Totals& totals : engine.train(batch, *tree_, watch)) {
      outcome.losses.push_back(totals.loss);
      outcome.correct.push_back(totals.correct);
      outcome.samples.push_back(totals.samples);
    }
    for (const comm::Partial& partial : tree_->partials())
      outcome.sums.emplace_back(partial.data, partial.data + std::ssize(weights_));
    world_.barrier();  // as for a step's status
    return outcome;
  }

  /// Rows whose shards this rank has computed since the last call.
  std::set<std::int64_t> computed() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(first_rows_, {});
  }

  /// With dropout, which depends on rows and epoch.
  static device::Network make_network() {
    testing::NetworkBuilder builder({pixels});
    builder.dense(256).relu().dropout(0.25);
    if (GetParam().makes_groups) builder.dense(1100).relu();
    return builder.dense(4).build();
  }

  static constexpr std::int64_t pixels = 300;
  comm::World world_;
  Range shards_ = comm::shards_of_rank(total_shards, world_.size(), world_.rank());
  std::mutex mutex_;
  std::set<std::int64_t> first_rows_;
  milliseconds pause_{0};  // before each shard
  testing::Hooks hooks_{.before =
                            [this](const device::ShardInput& input) {
                              if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
                              const std::scoped_lock lock(mutex_);
                              first_rows_.insert(input.rows[0]);
                            },
                        .after = {},
                        .evaluating = {},
                        .packing = {}};
  std::unique_ptr<device::Backend> backend_ = testing::make_hooked_backend(hooks_);
  WorkerPool workers_{1 + world_.rank() % 2, device::prepare_cpu_thread};
  device::Network network_ = make_network();
  std::unique_ptr<device::JointGradients> joint_ = device::make_cpu_backend()->joint_gradients(network_);
  std::unique_ptr<comm::Collective> collective_;
  std::vector<float> weights_;
  std::vector<std::span<float>> slabs_;
  std::optional<comm::LocalTree> tree_;

 private:
  testing::GeneratedBatch batch_{shards_, pixels};
};
INSTANTIATE_TEST_SUITE_P(Kinds, SharedShardsTest,
                         ::testing::Values(Kind{"", false}, Kind{"mpi", false}, Kind{"hosts:2", false},
                                           Kind{"", true}, Kind{"mpi", true}, Kind{"hosts:2", true}),
                         [](const auto& info) {
                           const Kind& kind = info.param;
                           std::string name = *kind.collective == '\0' ? "chosen" : kind.collective;
                           std::erase(name, ':');
                           return name + (kind.makes_groups ? "_beside_groups" : "");
                         });

/// Ranks of a team make pairs of what they keep to themselves if they have one worker.
TEST_P(SharedShardsTest, AreInNoGroup) {
  const auto engine = this->engine(data::Stripes(48, 48, total_shards), true);
  const int team = collective_->team().size;
  if (team == 1) return;  // nobody is there to share with
  const Range kept{shards_.begin, shards_to_share(shards_, {}, team).begin};
  const bool has_pair = kept.begin + kept.begin % 2 + 1 < kept.end;
  const bool makes_groups = GetParam().makes_groups && device::cpu::fused::processor_suits();
  EXPECT_EQ(engine->grouping().size, makes_groups && has_pair && workers_.size() == 1 ? 2 : 1);
  EXPECT_EQ(engine->grouping().shares, engine->grouping().size > 1);
}

/// Of 45 samples each shard has two or three; of 13 some have none.
TEST_P(SharedShardsTest, GiveTheBitsOfEachRanksOwn) {
  for (const std::int64_t samples : {45, 13, 48}) {
    const data::Stripes stripes(samples, samples, total_shards);
    const auto alone = engine(stripes, false);
    const auto together = engine(stripes, true);
    for (int step = 0; step < 12; ++step) {
      const data::Batch& batch = this->batch(stripes, step);
      pause_ = milliseconds(0);
      const std::int64_t watched = step % 4 == 3 ? step % total_shards : -1;
      ShardWatch watch_alone{.shard = watched};
      const Outcome expected = train(*alone, batch, &watch_alone);
      computed();
      // Ranks are slow in turn; and one looks at a single shard of its own.
      const bool is_slow = world_.rank() == step % world_.size();
      pause_ = milliseconds(is_slow && step % 3 < 2 ? 2 : 0);
      if (is_slow && step % 3 == 2) std::this_thread::sleep_for(milliseconds(3));
      ShardWatch watch{.shard = watched};
      EXPECT_EQ(train(*together, batch, &watch), expected) << samples << " samples, step " << step;
      EXPECT_EQ(watch.hash, watch_alone.hash);
      EXPECT_EQ(watch.hash != 0, shards_.contains(watched));

      auto done = static_cast<std::int64_t>(computed().size());
      world_.sum({&done, 1});
      EXPECT_EQ(done, std::min(samples, total_shards)) << "each shard once, but for empty ones";
    }
  }
}

/// The first or the last rank of a team is slow: one of them has one worker.
TEST_P(SharedShardsTest, AreComputedByWhoeverIsFree) {
  const auto team = collective_->team();
  if (world_.size() == 1) return;
  const data::Stripes stripes(48, 48, total_shards);
  const auto engine = this->engine(stripes, true);
  const std::int64_t shared = shards_to_share(shards_, engine->grouping(), team.size).size();
  for (const int slow : {0, team.size - 1}) {
    const bool is_slow = team.place == slow;
    pause_ = milliseconds(is_slow ? 200 : 10);  // by then the slow one has offered its shards
    computed();
    train(*engine, batch(stripes, 0));
    const auto done = static_cast<std::int64_t>(computed().size());
    // A worker that has nothing else begins with what is shared.
    if (!is_slow || shared == 0 || shards_.size() - shared < workers_.size()) continue;
    EXPECT_LT(done, shards_.size());
    EXPECT_GE(done, shards_.size() - shared);
  }
}

TEST_P(SharedShardsTest, AreTheRanksOwnInAStepInWhichItLooksAtOne) {
  const data::Stripes stripes(48, 48, total_shards);
  const auto engine = this->engine(stripes, true);
  pause_ = milliseconds(collective_->team().place == 0 ? 20 : 0);
  ShardWatch watch{.shard = shards_.end - 1};
  train(*engine, batch(stripes, 0), &watch);
  EXPECT_EQ(std::ssize(computed()), shards_.size());
  EXPECT_NE(watch.hash, 0U);
}

TEST_P(SharedShardsTest, WaitForNoRankThatFailed) {
  const data::Stripes stripes(48, 48, total_shards);
  const auto engine = this->engine(stripes, true);
  const data::Batch& batch = this->batch(stripes, 0);
  const Outcome expected = train(*engine, batch);
  const bool fails = world_.rank() == world_.size() - 1;
  if (fails) {
    engine->weights_changed(weights_);
    engine->stay_away();  // its batch did not come
    world_.barrier();
  } else {
    EXPECT_EQ(train(*engine, batch), expected);
  }
  if (fails) {  // while it computes
    tree_->reset();
    engine->weights_changed(weights_);
    const std::array bad{SideWork{.pieces = 1,
                                  .run = [](std::int64_t, int) { throw std::runtime_error("no memory"); },
                                  .time = &WorkerTimes::checking}};
    EXPECT_THROW(engine->train(batch, *tree_, nullptr, bad), std::runtime_error);
    world_.barrier();
  } else {
    EXPECT_EQ(train(*engine, batch), expected);
  }
  EXPECT_EQ(train(*engine, batch), expected);
}

/// Who fails at a shard of another rank has to tell it, as in a step's status: that one goes on.
TEST_P(SharedShardsTest, LeaveNobodyWaitingWhereAHelperFails) {
  std::int64_t largest_team = collective_->team().size;
  world_.max({&largest_team, 1});
  const data::Stripes stripes(48, 48, total_shards);
  const auto engine = this->engine(stripes, true);
  const data::Batch& batch = this->batch(stripes, 0);
  const Outcome expected = train(*engine, batch);
  const bool is_slow = collective_->team().place == 0;
  pause_ = milliseconds(is_slow ? 50 : 10);
  std::atomic<bool> has_failed = false;
  hooks_.after = [&, this](const device::ShardInput& input, std::span<float> /*gradient*/) {
    if (stripes.rows(0, shards_).contains(input.rows[0])) return;
    has_failed = true;
    throw std::runtime_error("no memory");
  };
  tree_->reset();
  engine->weights_changed(weights_);
  try {
    engine->train(batch, *tree_, nullptr);
    EXPECT_FALSE(has_failed);
  } catch (const std::runtime_error&) {
    EXPECT_TRUE(has_failed);
  }
  std::int64_t failures = has_failed ? 1 : 0;
  world_.sum({&failures, 1});
  if (largest_team > 1) {
    EXPECT_GT(failures, 0);
  }
  hooks_.after = {};
  pause_ = milliseconds(0);
  EXPECT_EQ(train(*engine, batch), expected);
}

}  // namespace
}  // namespace lockstep::train
