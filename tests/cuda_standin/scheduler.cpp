#include "scheduler.h"

#include <algorithm>
#include <utility>

#include "api.h"
#include "faults.h"
#include "memory.h"
#include "settings.h"

namespace lockstep::standin {

Scheduler& Scheduler::instance() {
  static auto* const scheduler = new Scheduler;
  return *scheduler;
}

Scheduler::Scheduler() {
  seed(settings().seed);
}

void Scheduler::seed(std::uint64_t seed) {
  state_ = seed;
  lazy_ = seed == 0;
  mood_ = draw_below(4);
}

std::uint64_t Scheduler::draw() {  // SplitMix64
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EB;
  return z ^ (z >> 31U);
}

std::shared_ptr<Lane> Scheduler::make_lane() {
  auto lane = std::make_shared<Lane>();
  lane->rank = draw();
  return lane;
}

OperationPtr Scheduler::add(std::shared_ptr<const Work> work, std::shared_ptr<Lane> lane, int device,
                            std::vector<OperationPtr> after) {
  auto operation = std::make_shared<Operation>();
  operation->try_run = work->try_run;
  operation->work = std::move(work);
  operation->lane = std::move(lane);
  operation->device = device;
  std::erase(after, nullptr);
  for (const OperationPtr& other : after) {
    if (other->done) continue;
    other->before.push_back(operation.get());
    ++operation->waits_for;
  }
  operation->after = std::move(after);
  operation->place = pending_.insert(pending_.end(), operation);
  if (operation->waits_for == 0) ready_.push_back(operation);
  release(&operation->waits_for);
  return operation;
}

void Scheduler::maybe_run() {
  if (lazy_ || running_) return;
  // Moods last for some calls, so that much piles up at times, and at times nothing.
  if (draw_below(16) == 0) mood_ = draw_below(4);
  static constexpr std::uint64_t chances[] = {0, 1, 4, 7};  // out of eight
  if (draw_below(8) >= chances[mood_]) return;
  ++round_;
  order_ = draw_order();
  const std::uint64_t sizes[] = {1, 1 + draw_below(8), pending_.size()};
  for (std::uint64_t most = sizes[draw_below(3)]; most > 0; --most) {
    const std::ptrdiff_t index = choose(false);
    if (index < 0) return;
    run(index);
  }
}

void Scheduler::mark_needed(Operation& target) {
  ++needed_;
  std::vector<Operation*> stack = {&target};
  while (!stack.empty()) {
    Operation& operation = *stack.back();
    stack.pop_back();
    if (operation.done || operation.needed_in == needed_) continue;
    operation.needed_in = needed_;
    for (const OperationPtr& other : operation.after) stack.push_back(other.get());
  }
}

Scheduler::Order Scheduler::draw_order() {
  static constexpr Order orders[] = {Order::any,    Order::any,    Order::any,
                                     Order::oldest, Order::newest, Order::by_lane};
  return orders[draw_below(std::size(orders))];
}

cudaError_t Scheduler::query(const OperationPtr& target) {
  if (target && !target->done) make_progress(*target);
  if (device_has_failed()) return cudaErrorLaunchFailure;
  if (!target) return cudaSuccess;
  if (!target->done) return cudaErrorNotReady;
  acquire(target.get());
  return cudaSuccess;
}

void Scheduler::make_progress(Operation& target) {
  if (running_) violation("work of a stream must not ask for a stream");
  ++round_;
  mark_needed(target);
  order_ = draw_order();
  static constexpr std::uint64_t counts[] = {1, 1, 4, 64};
  const std::uint64_t most = lazy_ ? 1 : counts[draw_below(4)];
  for (std::uint64_t i = 0; i < most && !target.done; ++i) {
    std::ptrdiff_t index = choose(true);
    // What is needed may wait for another process, which may wait for something else of ours.
    if (index < 0) index = choose(false);
    if (index < 0) return;
    run(index);
  }
}

void Scheduler::finish(const OperationPtr& target) {
  if (!target) return;
  if (running_) violation("work of a stream must not wait for a stream");
  while (!target->done) {
    ++round_;
    mark_needed(*target);
    order_ = draw_order();
    const std::uint64_t of_anything = lazy_ ? 0 : draw_below(5);  // out of four choices
    bool progress = false;
    while (!target->done) {
      std::ptrdiff_t index = choose(draw_below(4) >= of_anything);
      if (index < 0) index = choose(false);
      if (index < 0) break;
      progress = run(index) || progress;
    }
    if (!target->done && !progress) mutex().pause();
  }
  acquire(target.get());
}

void Scheduler::finish_device(int device) {
  while (true) {
    const auto found = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const OperationPtr& pending) { return pending->device == device; });
    if (found == pending_.end()) return;
    finish(OperationPtr(*found));
  }
}

std::ptrdiff_t Scheduler::choose(bool needed_only) {
  std::vector<std::ptrdiff_t> candidates;
  for (std::ptrdiff_t i = 0; i < std::ssize(ready_); ++i) {
    const Operation& operation = *ready_[static_cast<std::size_t>(i)];
    if (operation.asked_in == round_ || operation.work->stalls) continue;
    if (!needed_only || operation.needed_in == needed_) candidates.push_back(i);
  }
  if (candidates.empty()) return -1;
  switch (order_) {
    case Order::oldest:
      return candidates.front();
    case Order::newest:
      return candidates.back();
    case Order::by_lane:
      return *std::min_element(candidates.begin(), candidates.end(), [&](std::ptrdiff_t a, std::ptrdiff_t b) {
        return ready_[static_cast<std::size_t>(a)]->lane->rank <
               ready_[static_cast<std::size_t>(b)]->lane->rank;
      });
    case Order::any:
      break;
  }
  return candidates[draw_below(candidates.size())];
}

bool Scheduler::run(std::ptrdiff_t index) {
  const OperationPtr operation = ready_[static_cast<std::size_t>(index)];
  running_ = true;
  const bool done = do_work(*operation);
  running_ = false;
  if (done) {
    ready_.erase(ready_.begin() + index);
    complete(*operation);
  } else {
    operation->asked_in = round_;
  }
  return done;
}

bool Scheduler::do_work(Operation& operation) {
  const Unwatched as_host;
  const Work& work = *operation.work;
  const bool has_work = work.run || work.try_run;
  if (has_work && !device_has_failed() && operation_fails()) fail_device();
  const bool runs = has_work && !device_has_failed();
  if (runs) {
    for (const Access& access : work.accesses) {
      const std::string problem = Memory::instance().problem(operation.device, access.address, access.bytes);
      if (!problem.empty()) violation("when " + work.call + " ran: " + problem);
    }
    Memory::instance().show(operation.device, work.call);
  }
  bool done = true;
  operation.lane->fiber.run([&] {
    acquire(&operation.waits_for);
    for (const OperationPtr& other : operation.after) acquire(other.get());
    if (runs && work.run) work.run();
    if (runs && work.try_run) done = operation.try_run();
    if (!done) return;
    release(&operation);
    // Given up by the one who used it.
    const Unwatched as_stream;
    operation.try_run = nullptr;
    operation.work = nullptr;
  });
  return done;
}

void Scheduler::complete(Operation& operation) {
  operation.done = true;
  operation.finished = std::chrono::steady_clock::now();
  for (Operation* waiting : operation.before) {
    if (--waiting->waits_for == 0) ready_.push_back(waiting->shared_from_this());
  }
  operation.before.clear();
  operation.after.clear();
  pending_.erase(operation.place);
}

}  // namespace lockstep::standin
