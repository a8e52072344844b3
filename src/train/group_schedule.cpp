#include "train/group_schedule.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::train {

GroupSchedule::GroupSchedule(std::size_t groups, std::size_t in_flight) : in_flight_(in_flight) {
  check(in_flight >= 1, "a group may begin");
  groups_.reserve(groups);
}

void GroupSchedule::begin(const std::vector<std::size_t>& sizes) {
  check(sizes.size() <= groups_.capacity(), "there is memory for so many groups");
  check(std::ranges::none_of(sizes, [](std::size_t size) { return size == 0; }), "groups have shards");
  const std::scoped_lock lock(mutex_);
  groups_.clear();
  for (const std::size_t size : sizes) groups_.push_back({.size = size});
  complete_ = 0;
  stopped_ = false;
}

GroupSchedule::Answer GroupSchedule::next() {
  const std::scoped_lock lock(mutex_);
  if (stopped_) return {};
  const std::size_t end = std::min(complete_ + in_flight_, groups_.size());
  for (std::size_t index = complete_; index < end; ++index) {
    Group& group = groups_[index];
    if (group.turn_begun || group.forward_done < group.size) continue;
    group.turn_begun = true;
    return give(GroupTask::Part::turn, index, 0);
  }
  for (std::size_t index = complete_; index < end; ++index)
    if (Group& group = groups_[index]; group.forward_begun < group.size)
      return give(GroupTask::Part::forward, index, group.forward_begun++);
  bool all_begun = end == groups_.size();
  for (std::size_t index = complete_; index < end; ++index) {
    Group& group = groups_[index];
    if (group.backward_begun == group.size) continue;
    if (group.turned) return give(GroupTask::Part::backward, index, group.backward_begun++);
    all_begun = false;
  }
  return {.kind = all_begun ? Answer::Kind::end : Answer::Kind::wait, .task = {}};
}

GroupSchedule::Answer GroupSchedule::give(GroupTask::Part part, std::size_t group, std::size_t shard) {
  return {.kind = Answer::Kind::task, .task = {.part = part, .group = group, .shard = shard}};
}

void GroupSchedule::done(const GroupTask& task) {
  const std::scoped_lock lock(mutex_);
  Group& group = groups_[task.group];
  switch (task.part) {
    case GroupTask::Part::forward:
      ++group.forward_done;
      break;
    case GroupTask::Part::turn:
      group.turned = true;
      break;
    case GroupTask::Part::backward:
      ++group.backward_done;
      break;
  }
  while (complete_ < groups_.size() && groups_[complete_].backward_done == groups_[complete_].size)
    ++complete_;
}

void GroupSchedule::stop() {
  const std::scoped_lock lock(mutex_);
  stopped_ = true;
}

}  // namespace lockstep::train
