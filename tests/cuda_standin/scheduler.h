#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "race_detector.h"
#include "runtime.h"

namespace lockstep::standin {

/// Operations of one lane never run side by side: those of a stream, or those that one stream recorded in a
/// graph.
struct Lane {
  Fiber fiber;
  std::uint64_t rank = 0;  ///< drawn by the scheduler
};

/// What an operation does, for as often as it is launched: nothing if neither function is set.
struct Work {
  std::string call;
  std::vector<Access> accesses = {};
  std::function<void()> run = nullptr;
  std::function<bool()> try_run = nullptr;
  bool stalls = false;
};

/// One thing that a device has been given to do, once. To the race detector its address stands for "done",
/// and that of waits_for for "queued".
struct Operation : std::enable_shared_from_this<Operation> {
  std::shared_ptr<const Work> work;  ///< null when it is done
  std::function<bool()> try_run;     ///< its own copy of the work's
  std::shared_ptr<Lane> lane;
  int device = 0;
  /// What has to be done before; emptied when it is done itself.
  std::vector<std::shared_ptr<Operation>> after;
  std::vector<Operation*> before;  ///< pending ones that wait for this one
  int waits_for = 0;
  std::uint64_t asked_in = 0;   ///< the round in which it last said "not yet"
  std::uint64_t needed_in = 0;  ///< the last synchronization that waits for it, directly or not
  bool done = false;
  std::list<std::shared_ptr<Operation>>::iterator place;  ///< among the pending ones
  std::chrono::steady_clock::time_point finished;
};
using OperationPtr = std::shared_ptr<Operation>;

/// Runs operations, inside the calls of whoever uses the stand-in. All dependencies form one graph without
/// cycles, in which a stream is a chain; the scheduler runs what is ready in an order drawn by the seed. With
/// seed 0 it runs nothing before it has to.
class Scheduler {
 public:
  static Scheduler& instance();

  /// Adds an operation that runs after those in `after`, done or not.
  OperationPtr add(std::shared_ptr<const Work> work, std::shared_ptr<Lane> lane, int device,
                   std::vector<OperationPtr> after);
  [[nodiscard]] std::shared_ptr<Lane> make_lane();

  /// Runs nothing, some or all of what is ready.
  void maybe_run();
  /// Whether `target` (null: nothing) is done: cudaSuccess, cudaErrorNotReady or what made the device fail.
  /// Runs at least one operation that it waits for, if any can run, and perhaps more, so that who asks often
  /// enough gets there.
  [[nodiscard]] cudaError_t query(const OperationPtr& target);
  /// Returns when `target` is done; runs all that it waits for, and perhaps more.
  void finish(const OperationPtr& target);
  /// Returns when all operations of a device are done.
  void finish_device(int device);

  [[nodiscard]] std::int64_t pending() const { return static_cast<std::int64_t>(pending_.size()); }

  [[nodiscard]] std::uint64_t draw();
  void seed(std::uint64_t seed);

 private:
  enum class Order : std::uint8_t { any, oldest, newest, by_lane };

  Scheduler();
  /// Below `n`.
  std::uint64_t draw_below(std::uint64_t n) { return draw() % n; }
  [[nodiscard]] Order draw_order();
  void make_progress(Operation& target);
  /// Marks what `target` still waits for, and itself.
  void mark_needed(Operation& target);
  /// Index in ready_ of one that may be run, -1 if there is none. Only needed ones, if so wanted.
  [[nodiscard]] std::ptrdiff_t choose(bool needed_only);
  /// Whether it is done then.
  bool run(std::ptrdiff_t index);
  /// Whether it is done then.
  static bool do_work(Operation& operation);
  void complete(Operation& operation);

  std::vector<OperationPtr> ready_;
  std::list<OperationPtr> pending_;  ///< all that are not done, in the order of add()
  std::uint64_t state_ = 0;
  bool lazy_ = false;
  std::uint64_t mood_ = 0;  ///< how eagerly maybe_run() runs something
  bool running_ = false;
  Order order_ = Order::any;
  std::uint64_t round_ = 1;
  std::uint64_t needed_ = 0;
};

}  // namespace lockstep::standin
