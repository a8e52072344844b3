// How ranks divide the cores that they may run on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "comm/collective.h"
#include "train/cores.h"

namespace lockstep::train {
namespace {

using ::testing::HasSubstr;

/// The cores that this process could run on if mpirun had not bound it.
std::vector<int> usable_cores() {
  cpu_set_t all;
  CPU_ZERO(&all);
  sched_getaffinity(::getppid(), sizeof all, &all);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &all)) cores.push_back(core);
  return cores;
}

class CoresOnRanks : public ::testing::Test {
 protected:
  CoresOnRanks() { sched_getaffinity(0, sizeof before_, &before_); }
  ~CoresOnRanks() override { sched_setaffinity(0, sizeof before_, &before_); }

  static void bind(const std::vector<int>& cores) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    for (const int core : cores) CPU_SET(core, &mask);
    ASSERT_EQ(sched_setaffinity(0, sizeof mask, &mask), 0);
  }

  CoreUse divide(std::int64_t shards, std::int64_t threads = 0) {
    config::Experiment experiment;
    experiment.training.shards = shards;
    experiment.device.threads = threads;
    return divide_cores(world_, experiment);
  }
  [[nodiscard]] std::int64_t own_shards(std::int64_t shards) const {
    return comm::shards_of_rank(shards, world_.size(), world_.rank()).size();
  }
  /// What all ranks know of the threads must fit what each has.
  void expect_consistent(const CoreUse& use, std::int64_t cores) {
    std::int64_t used = use.threads;
    world_.sum({&used, 1});
    std::int64_t most = use.threads;
    world_.max({&most, 1});
    EXPECT_EQ(use.max_threads, most);
    EXPECT_EQ(use.idle, std::max<std::int64_t>(cores - used, 0));
    EXPECT_EQ(use.advice.empty(), use.idle == 0);
  }

  comm::World world_;
  const std::vector<int> cores_ = usable_cores();
  const std::int64_t count_ = static_cast<std::int64_t>(cores_.size());

 private:
  cpu_set_t before_{};
};

TEST_F(CoresOnRanks, UnboundRanksShareThemAll) {
  bind(cores_);
  const CoreUse use = divide(8);
  EXPECT_EQ(use.threads, std::clamp<std::int64_t>(count_ / world_.size(), 1, own_shards(8)));
  expect_consistent(use, count_);
}

TEST_F(CoresOnRanks, RanksBoundToOneCoreHaveOneThread) {
  bind({cores_[static_cast<std::size_t>(world_.rank()) % cores_.size()]});
  const CoreUse use = divide(8);
  EXPECT_EQ(use.threads, 1);
  EXPECT_EQ(use.idle, std::max<std::int64_t>(count_ - world_.size(), 0));
  if (use.idle > 0) {
    EXPECT_THAT(use.advice, HasSubstr("--bind-to none"));
  }
}

TEST_F(CoresOnRanks, RankAloneOnItsCoresHasThemAll) {
  // The last rank has the first core to itself, the others share the rest (with one core: that one).
  const bool is_last = world_.rank() + 1 == world_.size();
  std::vector<int> rest(cores_.begin() + 1, cores_.end());
  if (rest.empty()) rest = cores_;
  bind(is_last ? std::vector<int>{cores_.front()} : rest);
  const CoreUse use = divide(64);
  const auto others = static_cast<std::int64_t>(world_.size() - 1);
  if (is_last || others == 0 || count_ == 1) {
    EXPECT_EQ(use.threads, 1);
  } else {
    EXPECT_EQ(use.threads, std::clamp<std::int64_t>((count_ - 1) / others, 1, own_shards(64)));
  }
  expect_consistent(use, count_);
}

TEST_F(CoresOnRanks, SettingIsFollowedUpToTheShards) {
  bind(cores_);
  const CoreUse use = divide(8, 3);
  EXPECT_EQ(use.threads, std::min<std::int64_t>(3, own_shards(8)));
  expect_consistent(use, count_);
}

TEST_F(CoresOnRanks, AdviceNamesWhatWouldUseTheIdleOnes) {
  bind(cores_);
  std::int64_t shards = 1;
  while (shards < world_.size()) shards *= 2;
  const CoreUse use = divide(shards);  // most ranks have one shard, and so one thread
  expect_consistent(use, count_);
  if (use.idle > 0) {
    EXPECT_THAT(use.advice, HasSubstr(world_.size() < shards ? "more ranks" : "training.shards"));
  }
  const CoreUse restrained = divide(64, 1);
  expect_consistent(restrained, count_);
  if (restrained.idle > 0) {
    EXPECT_THAT(restrained.advice, HasSubstr("device.threads=auto"));
  }
}

}  // namespace
}  // namespace lockstep::train
