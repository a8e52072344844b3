#include "train/group_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "comm/local_tree.h"

namespace lockstep::train {
namespace {

using Kind = GroupSchedule::Answer::Kind;
using Part = GroupTask::Part;

/// Checks that each task comes once, and after what it needs.
class Record {
 public:
  Record(const std::vector<std::size_t>& sizes, std::size_t in_flight) : in_flight_(in_flight) {
    for (const std::size_t size : sizes) groups_.push_back({std::vector<int>(size, 0), false});
  }

  void given(const GroupTask& task) {
    Group& group = groups_.at(task.group);
    for (std::size_t before = 0; before + in_flight_ <= task.group; ++before)
      EXPECT_TRUE(all(groups_[before], backward))
          << "group " << task.group << " takes the place of " << before;
    switch (task.part) {
      case Part::forward:
        EXPECT_EQ(group.shards.at(task.shard)++, 0);
        break;
      case Part::turn:
        EXPECT_TRUE(all(group, forward));
        EXPECT_FALSE(std::exchange(group.has_turned, true));
        break;
      case Part::backward:
        EXPECT_EQ(group.shards.at(task.shard)++, turned);
        break;
    }
  }
  void done(const GroupTask& task) {
    Group& group = groups_.at(task.group);
    if (task.part == Part::turn)
      for (int& state : group.shards) ++state;
    else
      ++group.shards.at(task.shard);
  }
  [[nodiscard]] bool is_complete() const {
    return std::ranges::all_of(groups_, [](const Group& group) { return all(group, backward); });
  }

 private:
  // What a shard has behind it; in between it is at the next part.
  static constexpr int forward = 2, turned = 3, backward = 5;
  struct Group {
    std::vector<int> shards;
    bool has_turned;
  };
  static bool all(const Group& group, int state) {
    return std::ranges::all_of(group.shards, [=](int shard) { return shard == state; });
  }

  std::size_t in_flight_;
  std::vector<Group> groups_;
};

/// Whoever is how slow.
TEST(GroupSchedule, GivesEachTaskOnceAndAfterWhatItNeeds) {
  std::mt19937 random(1);
  const auto draw = [&](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::size_t> sizes(1 + draw(7));
    for (std::size_t& size : sizes) size = 1 + draw(4);
    const std::size_t in_flight = 1 + draw(4), workers = 1 + draw(4);
    GroupSchedule schedule(sizes.size(), in_flight);
    for (int step = 0; step < 2; ++step) {
      schedule.begin(sizes);
      Record record(sizes, in_flight);
      std::vector<GroupTask> at_work;
      for (bool ended = false; !ended || !at_work.empty();) {
        const GroupSchedule::Answer answer =
            at_work.size() < workers ? schedule.next() : GroupSchedule::Answer{Kind::wait, {}};
        if (answer.kind == Kind::task) {
          record.given(answer.task);
          at_work.push_back(answer.task);
        }
        ended = answer.kind == Kind::end;
        if (answer.kind == Kind::task && draw(2) == 0) continue;
        ASSERT_FALSE(at_work.empty() && answer.kind == Kind::wait) << "nobody is at what this waits for";
        if (at_work.empty()) continue;
        const auto one = at_work.begin() + static_cast<std::ptrdiff_t>(draw(at_work.size()));
        record.done(*one);
        schedule.done(*one);
        at_work.erase(one);
      }
      EXPECT_TRUE(record.is_complete());
    }
  }
}

/// A group takes its slabs at its turn, and each shard's is added at the end. The tree throws if they are too
/// few. Groups of four may be split, as by shards of other sizes.
TEST(GroupSchedule, NeedsNoMoreSlabsThanSoManyWorkersThatTakeWholeGroups) {
  std::mt19937 random(2);
  const auto draw = [&](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  constexpr std::int64_t total = 32;
  constexpr int size = 4;
  for (int round = 0; round < 500; ++round) {
    const auto begin = static_cast<std::int64_t>(draw(8));
    const Range shards{begin, begin + 1 + static_cast<std::int64_t>(draw(24))};
    const std::size_t in_flight = 1 + draw(4), workers = 1 + draw(4);
    std::vector<std::size_t> sizes;
    std::vector<std::int64_t> firsts;
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      if (shard == shards.begin || shard % size == 0 || draw(6) == 0) {
        firsts.push_back(shard);
        sizes.push_back(0);
      }
      ++sizes.back();
    }
    std::vector<std::vector<float>> memory(static_cast<std::size_t>(comm::LocalTree::slabs_needed(
                                               shards, total, static_cast<int>(in_flight), size)),
                                           std::vector<float>(1));
    comm::LocalTree tree(shards, total, {memory.begin(), memory.end()});
    std::vector<std::vector<std::span<float>>> slabs(sizes.size());
    GroupSchedule schedule(sizes.size(), in_flight);
    schedule.begin(sizes);
    std::vector<GroupTask> at_work;
    for (bool ended = false; !ended || !at_work.empty();) {
      if (at_work.size() < workers) {
        const GroupSchedule::Answer answer = schedule.next();
        ended = answer.kind == Kind::end;
        if (answer.kind == Kind::task) {
          at_work.push_back(answer.task);
          if (answer.task.part == Part::turn)
            for (std::size_t i = 0; i < sizes[answer.task.group]; ++i)
              slabs[answer.task.group].push_back(tree.take_slab());
          if (draw(3) != 0) continue;
        }
      }
      if (at_work.empty()) continue;
      const auto one = at_work.begin() + static_cast<std::ptrdiff_t>(draw(at_work.size()));
      if (one->part == Part::backward)
        tree.add(firsts[one->group] + static_cast<std::int64_t>(one->shard), slabs[one->group][one->shard]);
      schedule.done(*one);
      at_work.erase(one);
    }
    EXPECT_FALSE(tree.partials().empty());
  }
}

TEST(GroupSchedule, PutsTurnsFirstAndWaysBackLast) {
  GroupSchedule schedule(2, 2);
  schedule.begin({1, 2});
  const auto next = [&](Part part, std::size_t group, std::size_t shard) {
    const GroupSchedule::Answer answer = schedule.next();
    EXPECT_EQ(answer.kind, Kind::task);
    EXPECT_EQ(answer.task.part, part);
    EXPECT_EQ(answer.task.group, group);
    EXPECT_EQ(answer.task.shard, shard);
    return answer.task;
  };
  schedule.done(next(Part::forward, 0, 0));
  schedule.done(next(Part::turn, 0, 0));
  const GroupTask slow = next(Part::forward, 1, 0);
  schedule.done(next(Part::forward, 1, 1));
  schedule.done(next(Part::backward, 0, 0));
  EXPECT_EQ(schedule.next().kind, Kind::wait);
  schedule.done(slow);
  schedule.done(next(Part::turn, 1, 0));
  next(Part::backward, 1, 0);
  next(Part::backward, 1, 1);
  EXPECT_EQ(schedule.next().kind, Kind::end) << "all is given out";
}

TEST(GroupSchedule, EndsWhenStoppedUntilTheNextStep) {
  GroupSchedule schedule(1, 1);
  schedule.begin({2});
  EXPECT_EQ(schedule.next().kind, Kind::task);
  schedule.stop();
  EXPECT_EQ(schedule.next().kind, Kind::end);
  schedule.begin({1});
  EXPECT_EQ(schedule.next().kind, Kind::task);
}

}  // namespace
}  // namespace lockstep::train
