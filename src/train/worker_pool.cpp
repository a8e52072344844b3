#include "train/worker_pool.h"

#include <chrono>
#include <system_error>

#include "base/check.h"
#include "base/cpu_pause.h"
#include "base/error.h"
#include "device/backend.h"
#include "train/cores.h"
#include "train/signals.h"

namespace lockstep::train {
namespace {

using std::chrono::microseconds;

/// How long a thread spins before it sleeps. With a core for each worker, long enough to bridge the pause
/// between two pieces of a step, some 30 µs and as much again where other programs use the cores, too: waking
/// a sleeping thread takes about 100 µs, longer than most of the pieces. Where workers share cores, whoever
/// spins keeps another from its work: steps of four workers on two cores were 13 % slower with 200 µs.
microseconds patience_of(int workers) {
  return workers <= cores_available() ? microseconds(200) : microseconds(50);
}

/// Waits until `value` is no longer `old`.
template <class T>
void wait_for_change(const std::atomic<T>& value, T old, microseconds patience) {
  constexpr int pauses = 64;  // from one look at the clock to the next
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    for (int pause = 0; pause < pauses; ++pause) {
      if (value.load(std::memory_order_acquire) != old) return;
      cpu_pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

WorkerPool::WorkerPool(int workers, void (*prepare)())
    : patience_(patience_of(workers)),
      failures_(static_cast<std::size_t>(workers)),
      next_(static_cast<std::size_t>(workers)) {
  check(workers >= 1, "a pool has a worker");
  prepare();
  threads_.reserve(static_cast<std::size_t>(workers - 1));
  try {
    for (int worker = 1; worker < workers; ++worker)
      threads_.emplace_back([this, worker, prepare] { serve(worker, prepare); });
  } catch (const std::system_error& error) {
    const std::size_t started = threads_.size() + 1;
    join_all();
    fail(ExitCode::internal, "only {} of {} threads could be started ({}): lower device.threads", started,
         workers, error.what());
  }
}

WorkerPool::~WorkerPool() {
  join_all();
}

void WorkerPool::join_all() {
  closing_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::run_erased(Call call, void* context) {
  call_ = call;
  context_ = context;
  running_.store(size() - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  run_one(0);
  for (int running = running_.load(std::memory_order_acquire); running != 0;
       running = running_.load(std::memory_order_acquire))
    wait_for_change(running_, running, patience_);

  std::exception_ptr first;
  for (std::exception_ptr& failure : failures_) {
    if (!first) first = failure;
    failure = nullptr;
  }
  if (first) std::rethrow_exception(first);
}

void WorkerPool::serve(int worker, void (*prepare)()) {
  prepare();
  for (std::uint32_t seen = 0;; ++seen) {
    wait_for_change(generation_, seen, patience_);
    if (closing_.load(std::memory_order_relaxed)) return;
    run_one(worker);
    if (running_.fetch_sub(1, std::memory_order_release) == 1) running_.notify_one();
  }
}

void WorkerPool::run_one(int worker) noexcept {
  try {
    call_(context_, worker);
  } catch (...) {
    failures_[static_cast<std::size_t>(worker)] = std::current_exception();
  }
}

namespace {

void prepare_thread() {
  device::prepare_cpu_thread();
  keep_signals_away();
}

}  // namespace

std::unique_ptr<WorkerPool> make_workers(comm::World& world, std::int64_t threads) {
  std::unique_ptr<WorkerPool> workers;
  world.agree([&] { workers = std::make_unique<WorkerPool>(static_cast<int>(threads), prepare_thread); });
  return workers;
}

}  // namespace lockstep::train
