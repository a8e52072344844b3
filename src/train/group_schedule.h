#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace lockstep::train {

/// One part of the training on groups of shards (device::GroupRunner).
struct GroupTask {
  enum class Part : std::uint8_t { forward, turn, backward };
  Part part = Part::forward;
  std::size_t group = 0;
  std::size_t shard = 0;  ///< in the group; 0 for its turn
};

/// Hands out the parts of a step to whichever worker is free: what others wait for first. So a turn, then
/// shards that go forward, and in the end their ways back, which are many and short, so that workers end
/// together. Groups begin in their order, and one only when so many before it are complete that the slots of
/// `in_flight` groups do: a worker that stands still holds up the others once they are that far ahead.
/// Thread-safe.
class GroupSchedule {
 public:
  /// For so many groups, at most; of which so many may have begun and not be complete.
  GroupSchedule(std::size_t groups, std::size_t in_flight);
  /// A step: the groups have so many shards each, all at least one. No worker is at a task.
  void begin(const std::vector<std::size_t>& sizes);

  struct Answer {
    enum class Kind : std::uint8_t { task, wait, end };
    Kind kind = Kind::end;
    GroupTask task;  ///< to be done, and told to done()
  };
  /// `wait`: not yet, but others are at what there will be more after. `end`: all is done or given out, and
  /// nothing more will come.
  Answer next();
  void done(const GroupTask& task);
  /// A task has failed, and will never be done: no more are given out.
  void stop();

 private:
  struct Group {
    std::size_t size = 0;
    std::size_t forward_begun = 0, forward_done = 0, backward_begun = 0, backward_done = 0;
    bool turn_begun = false, turned = false;
  };
  Answer give(GroupTask::Part part, std::size_t group, std::size_t shard);

  std::size_t in_flight_;
  std::mutex mutex_;  // guards what follows
  std::vector<Group> groups_;
  std::size_t complete_ = 0;  ///< groups, from the first one on
  bool stopped_ = false;
};

}  // namespace lockstep::train
