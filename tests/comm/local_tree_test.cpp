#include "comm/local_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <random>
#include <thread>
#include <vector>

#include "base/error.h"
#include "support/allocation_watch.h"
#include "tree_reference.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t slab_size = 300;

/// A tree with exactly the slabs that `workers` are said to need.
struct Rig {
  std::vector<std::vector<float>> memory;
  LocalTree tree;

  Rig(Range shards, std::int64_t total, int workers, int together = 1)
      : memory(static_cast<std::size_t>(LocalTree::slabs_needed(shards, total, workers, together)),
               std::vector<float>(slab_size)),
        tree(shards, total, {memory.begin(), memory.end()}) {}
};

/// Both sides finish the same tree: the rank's partial sums against the plain model restricted to each.
void expect_right(const testing::Step& step, std::span<const Partial> partials, Range shards) {
  const std::vector<Subtree> trees = subtrees(shards, step.shards);
  ASSERT_EQ(partials.size(), trees.size());
  for (std::size_t i = 0; i < trees.size(); ++i) {
    ASSERT_EQ(partials[i].tree, trees[i]);
    std::vector<std::vector<float>> sums;
    for (std::int64_t s = trees[i].first; s < trees[i].first + trees[i].count; ++s)
      testing::fill_gradient(step, s, sums.emplace_back(slab_size));
    for (std::size_t width = sums.size(); width > 1; width /= 2)
      for (std::size_t pair = 0; pair < width / 2; ++pair)
        for (std::size_t k = 0; k < slab_size; ++k) sums[pair][k] = sums[2 * pair][k] + sums[2 * pair + 1][k];
    ASSERT_EQ(testing::first_difference({partials[i].data, slab_size}, sums.front()), -1) << "subtree " << i;
  }
}

/// Slabs in use when exactly the shards of `done` have been added and those of `busy` are being computed.
int slabs_in_use(Subtree tree, std::uint64_t done, std::uint64_t busy) {
  const std::uint64_t all = ((std::uint64_t{1} << tree.count) - 1) << tree.first;
  if ((done & all) == all) return 1;
  if (tree.count == 1) return (busy & all) != 0 ? 1 : 0;
  const std::int64_t half = tree.count / 2;
  return slabs_in_use({tree.first, half}, done, busy) + slabs_in_use({tree.first + half, half}, done, busy);
}

/// The shards of the rank that a worker takes with shard `first` of them, which is none's before.
std::uint64_t group_from(std::int64_t first, Range shards, int together) {
  const std::int64_t end = std::min((first / together + 1) * together, shards.end);
  return ((std::uint64_t{1} << end) - 1) & ~((std::uint64_t{1} << first) - 1);
}

/// The same where workers take several shards at a time: a prefix of the groups is started.
int most_in_any_state_of_groups(Range shards, std::int64_t total, int workers, int together) {
  std::vector<std::uint64_t> groups;
  for (std::int64_t first = shards.begin; first < shards.end; first = (first / together + 1) * together)
    groups.push_back(group_from(first, shards, together));
  int most = 0;
  for (std::size_t count = 1; count <= groups.size(); ++count)
    for (std::uint64_t busy_groups = 0; busy_groups < std::uint64_t{1} << count; ++busy_groups) {
      if (busy_groups >> (count - 1) == 0 || std::popcount(busy_groups) > workers) continue;
      std::uint64_t busy = 0, done = 0;
      for (std::size_t group = 0; group < count; ++group)
        ((busy_groups >> group & 1) != 0 ? busy : done) |= groups[group];
      int used = 0;
      for (const Subtree tree : subtrees(shards, total)) used += slabs_in_use(tree, done, busy);
      most = std::max(most, used);
    }
  return most;
}

/// The most over every state that workers on ascending shards can be in: a prefix is started, its last shard
/// is at work, and all workers but that shard's may still be busy with any of the others.
int most_in_any_state(Range shards, std::int64_t total, int workers) {
  int most = 0;
  for (std::int64_t end = shards.begin + 1; end <= shards.end; ++end) {
    const std::uint64_t last = std::uint64_t{1} << (end - 1);
    const std::uint64_t started = ((std::uint64_t{1} << end) - 1) & ~((std::uint64_t{1} << shards.begin) - 1);
    for (std::uint64_t busy = started;; busy = (busy - 1) & started) {  // every subset
      if ((busy & last) != 0 && std::popcount(busy) <= workers) {
        int used = 0;
        for (const Subtree tree : subtrees(shards, total)) used += slabs_in_use(tree, started & ~busy, busy);
        most = std::max(most, used);
      }
      if (busy == 0) break;
    }
  }
  return most;
}

TEST(LocalTree, NeedsExactlyTheSlabsOfTheWorstState) {
  for (const std::int64_t total : {1, 2, 4, 8})
    for (std::int64_t begin = 0; begin < total; ++begin)
      for (std::int64_t end = begin + 1; end <= total; ++end)
        for (int workers = 1; workers <= 5; ++workers)
          EXPECT_EQ(LocalTree::slabs_needed({begin, end}, total, workers),
                    most_in_any_state({begin, end}, total, workers))
              << "shards [" << begin << ", " << end << ") of " << total << ", " << workers << " workers";
  for (int workers = 1; workers <= 4; ++workers)
    EXPECT_EQ(LocalTree::slabs_needed({1, 14}, 16, workers), most_in_any_state({1, 14}, 16, workers));
}

TEST(LocalTree, NeedsAsManySlabsAsTheWorstScheduleOfGroups) {
  for (const std::int64_t total : {1, 2, 4, 8, 16})
    for (std::int64_t begin = 0; begin < total; ++begin)
      for (std::int64_t end = begin + 1; end <= total; ++end)
        for (int workers = 1; workers <= 4; ++workers)
          for (const int together : {1, 2, 4, 8})
            ASSERT_EQ(LocalTree::slabs_needed({begin, end}, total, workers, together),
                      most_in_any_state_of_groups({begin, end}, total, workers, together))
                << "shards [" << begin << ", " << end << ") of " << total << ", " << workers << " workers, "
                << together << " at a time";
}

TEST(LocalTree, LeavesOutWhatIsApartInTheStepsThatSaySo) {
  constexpr Range shards{0, 6};  // two subtrees
  const std::vector<Range> apart{{0, 10}, {100, 250}};
  std::vector<std::vector<float>> memory(6, std::vector<float>(slab_size));
  LocalTree tree(shards, 8, {memory.begin(), memory.end()}, apart);
  const auto add_all = [&] {
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      const std::span<float> slab = tree.take_slab();
      std::ranges::fill(slab, static_cast<float>(shard + 1));
      tree.add(shard, slab);
    }
  };
  tree.reset();
  tree.set_apart();
  add_all();
  ASSERT_EQ(tree.sum_count(), 2U);
  const LocalTree::Sum second = tree.sum(1);
  EXPECT_EQ(second.tree, (Subtree{4, 2}));
  EXPECT_EQ(second.slab.data(), tree.partials()[1].data);
  for (std::int64_t i = 0; i < slab_size; ++i) {
    const bool left_out = apart[0].contains(i) || apart[1].contains(i);
    EXPECT_EQ(second.slab[static_cast<std::size_t>(i)] == 5 + 6, !left_out) << i;
  }
  tree.reset();  // everything again
  add_all();
  for (const float value : tree.sum(0).slab) ASSERT_EQ(value, 1 + 2 + 3 + 4);
  for (const float value : tree.sum(1).slab) ASSERT_EQ(value, 5 + 6);
}

TEST(LocalTree, NeedsFewSlabs) {
  EXPECT_EQ(LocalTree::slabs_needed({0, 8}, 8, 1), 4);  // a binary counter: three sums and the shard at work
  EXPECT_EQ(LocalTree::slabs_needed({0, 4}, 8, 1), 3);
  EXPECT_EQ(LocalTree::slabs_needed({0, 64}, 64, 1), 7);
  EXPECT_EQ(LocalTree::slabs_needed({0, 64}, 64, 64), 64);
  EXPECT_LE(LocalTree::slabs_needed({0, 1024}, 1024, 4), 40);
  EXPECT_EQ(LocalTree::slabs_needed({0, 8}, 8, 1, 4), 5);  // a sum and the four at work
  EXPECT_EQ(LocalTree::slabs_needed({0, 64}, 64, 1, 4), 8);
}

/// Workers on one thread: up to `workers` shards are under way, and a random one of them finishes next.
TEST(LocalTree, GivesTheSameBitsInAnyOrder) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 1500; ++round) {
    const std::int64_t total = std::int64_t{1} << (random() % 7);
    const std::int64_t begin = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(total));
    const std::int64_t end =
        begin + 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(total - begin));
    const int workers = 1 + static_cast<int>(random() % 6);
    Rig rig({begin, end}, total, workers);
    for (std::uint64_t repeat = 0; repeat < 2; ++repeat) {
      const testing::Step step{static_cast<std::uint64_t>(round) + repeat,
                               1 + static_cast<std::int64_t>(random() % 100), total};
      rig.tree.reset();
      std::vector<std::pair<std::int64_t, std::span<float>>> busy;
      // Every third round the first shard is the slowest of all, the schedule that keeps most sums waiting.
      const std::size_t slow = round % 3 == 0 ? 1 : 0;
      for (std::int64_t next = begin; next < end || !busy.empty();) {
        if (next < end && std::ssize(busy) < workers) {
          busy.emplace_back(next, rig.tree.take_slab());
          testing::fill_gradient(step, next++, busy.back().second);
          continue;
        }
        const std::size_t choice = busy.size() > slow ? slow + random() % (busy.size() - slow) : 0;
        rig.tree.add(busy[choice].first, busy[choice].second);
        busy.erase(busy.begin() + static_cast<std::ptrdiff_t>(choice));
      }
      expect_right(step, rig.tree.partials(), {begin, end});
      if (HasFatalFailure()) FAIL() << "shards [" << begin << ", " << end << ") of " << total;
    }
  }
}

/// Each worker takes all slabs of its group at once, and gives them back one by one.
TEST(LocalTree, HasSlabsEnoughForGroupsInAnyOrder) {
  std::mt19937_64 random(8);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  for (int round = 0; round < 1500; ++round) {
    const std::int64_t total = std::int64_t{1} << below(7), begin = below(total);
    const std::int64_t end = begin + 1 + below(total - begin);
    const int workers = 1 + static_cast<int>(below(4));
    const int together = 1 << below(4);
    Rig rig({begin, end}, total, workers, together);
    const testing::Step step{static_cast<std::uint64_t>(round), 1 + below(100), total};
    rig.tree.reset();
    std::vector<std::vector<std::pair<std::int64_t, std::span<float>>>> busy;
    for (std::int64_t next = begin; next < end || !busy.empty();) {
      if (next < end && std::ssize(busy) < workers) {
        busy.emplace_back();
        for (const std::int64_t stop = std::min((next / together + 1) * together, end); next < stop; ++next) {
          busy.back().emplace_back(next, rig.tree.take_slab());
          testing::fill_gradient(step, next, busy.back().back().second);
        }
        continue;
      }
      const auto choice = static_cast<std::size_t>(below(std::ssize(busy)));
      rig.tree.add(busy[choice].front().first, busy[choice].front().second);
      busy[choice].erase(busy[choice].begin());
      if (busy[choice].empty()) busy.erase(busy.begin() + static_cast<std::ptrdiff_t>(choice));
    }
    expect_right(step, rig.tree.partials(), {begin, end});
    if (HasFatalFailure()) FAIL() << "shards [" << begin << ", " << end << ") of " << total;
  }
}

TEST(LocalTree, IsSafeForManyThreads) {
  for (const int workers : {2, 3, 8}) {
    const Range shards{3, 61};
    Rig rig(shards, 64, workers);
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const testing::Step step{seed, 150, 64};
      rig.tree.reset();
      std::atomic<std::int64_t> next = shards.begin;
      const auto work = [&](int worker) {
        std::mt19937_64 random(seed * 100 + static_cast<std::uint64_t>(worker));
        for (std::int64_t shard = next++; shard < shards.end; shard = next++) {
          const std::span<float> slab = rig.tree.take_slab();
          testing::fill_gradient(step, shard, slab);
          for (std::uint64_t wait = random() % 4; wait > 0; --wait) std::this_thread::yield();
          rig.tree.add(shard, slab);
        }
      };
      std::vector<std::thread> threads;
      for (int worker = 0; worker < workers; ++worker) threads.emplace_back(work, worker);
      for (std::thread& thread : threads) thread.join();
      expect_right(step, rig.tree.partials(), shards);
      if (HasFatalFailure()) FAIL() << workers << " workers, step " << seed;
    }
  }
}

TEST(LocalTree, AllocatesNothingInAStep) {
  Rig rig({0, 8}, 8, 1);
  lockstep::testing::start_watching();
  rig.tree.reset();
  for (std::int64_t shard = 0; shard < 8; ++shard) rig.tree.add(shard, rig.tree.take_slab());
  const std::size_t partials = rig.tree.partials().size();
  const lockstep::testing::Allocations made = lockstep::testing::stop_watching();
  EXPECT_EQ(made.own, 0) << made.first_own;
  EXPECT_EQ(partials, 1U);
}

TEST(LocalTree, RefusesMisuse) {
  Rig rig({2, 4}, 4, 1);  // shards 2 and 3, two slabs
  EXPECT_THROW(static_cast<void>(rig.tree.partials()), Error) << "no shard was added";
  const std::span<float> slab = rig.tree.take_slab();
  EXPECT_THROW(rig.tree.add(1, slab), Error) << "another rank's shard";
  rig.tree.add(2, slab);
  EXPECT_THROW(rig.tree.add(2, slab), Error) << "twice in a step";
  static_cast<void>(rig.tree.take_slab());
  EXPECT_THROW(static_cast<void>(rig.tree.take_slab()), Error) << "more slabs than were given";
  rig.tree.reset();
  EXPECT_NO_THROW(static_cast<void>(rig.tree.take_slab()));
}

}  // namespace
}  // namespace lockstep::comm
