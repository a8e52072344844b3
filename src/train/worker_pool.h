#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/partition.h"
#include "comm/world.h"

namespace lockstep::train {

/// A rank's worker threads. The thread that makes the pool is worker 0, so a pool of one starts no thread.
///
/// Used from that thread only. Starting and joining a piece of work takes microseconds and allocates nothing:
/// workers spin for a moment between pieces before they sleep.
class WorkerPool {
 public:
  /// `prepare` runs once on each thread that the pool starts, and on the calling thread. Throws
  /// Error(internal) when the system gives no more threads.
  WorkerPool(int workers, void (*prepare)());
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] int size() const { return static_cast<int>(failures_.size()); }

  /// How many of `items` belong into a piece, for run_pieces(): at most `most`, and few enough that all
  /// workers have some and end together.
  [[nodiscard]] std::int64_t piece_size(std::int64_t items, std::int64_t most) const {
    constexpr std::int64_t pieces_of_a_worker = 4;
    return std::clamp<std::int64_t>(items / (pieces_of_a_worker * size()), 1, most);
  }

  /// Calls work(worker) once on each worker, all at the same time, and returns when all are done. If any
  /// threw, rethrows the exception of the lowest such worker.
  template <class Work>
  void run(Work&& work) {
    run_erased(
        [](void* context, int worker) { (*static_cast<std::remove_reference_t<Work>*>(context))(worker); },
        const_cast<void*>(static_cast<const void*>(&work)));
  }
  /// Calls work(piece, worker) once for each of so many pieces. Each worker begins with its share of them, in
  /// order, and then helps the others with theirs: so of two passes over the same data, the second finds in a
  /// core's caches what the first left there.
  template <class Work>
  void run_pieces(std::int64_t pieces, Work&& work) {
    for (int worker = 0; worker < size(); ++worker)
      next_[static_cast<std::size_t>(worker)].piece.store(share(pieces, worker).begin,
                                                          std::memory_order_relaxed);
    run([&](int worker) {
      for (int step = 0; step < size(); ++step) {
        const int whose = (worker + step) % size();
        std::atomic<std::int64_t>& next = next_[static_cast<std::size_t>(whose)].piece;
        const std::int64_t end = share(pieces, whose).end;
        for (std::int64_t piece = next.fetch_add(1, std::memory_order_relaxed); piece < end;
             piece = next.fetch_add(1, std::memory_order_relaxed))
          work(piece, worker);
      }
    });
  }

 private:
  using Call = void (*)(void* context, int worker);
  struct alignas(64) Next {
    std::atomic<std::int64_t> piece = 0;
  };
  [[nodiscard]] Range share(std::int64_t pieces, int worker) const { return piece(pieces, size(), worker); }
  void join_all();
  void run_erased(Call call, void* context);
  void serve(int worker, void (*prepare)());
  void run_one(int worker) noexcept;

  std::chrono::microseconds patience_;
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::vector<std::exception_ptr> failures_;   // by worker
  std::vector<Next> next_;                     // of run_pieces(): of each worker's share
  std::atomic<std::uint32_t> generation_ = 0;  // counts pieces of work
  std::atomic<int> running_ = 0;               // workers other than 0 still at the current piece
  std::atomic<bool> closing_ = false;
  std::vector<std::thread> threads_;
};

/// The workers of each rank, with OpenMP set to one thread on each of them. Collective: throws on all ranks
/// when one of them gets too few threads.
std::unique_ptr<WorkerPool> make_workers(comm::World& world, std::int64_t threads);

}  // namespace lockstep::train
