#include "train/worker_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>

namespace lockstep::train {
namespace {

std::atomic<int> prepared = 0;
void count_prepared() {
  ++prepared;
}

TEST(WorkerPool, RunsEachWorkerOnceOnThreadsOfItsOwn) {
  for (const int workers : {1, 2, 3, 7}) {
    prepared = 0;
    WorkerPool pool(workers, count_prepared);
    ASSERT_EQ(pool.size(), workers);
    for (int repetition = 0; repetition < 200; ++repetition) {
      std::vector<std::thread::id> threads(static_cast<std::size_t>(workers));
      std::vector<int> calls(static_cast<std::size_t>(workers), 0);
      pool.run([&](int worker) {
        threads[static_cast<std::size_t>(worker)] = std::this_thread::get_id();
        ++calls[static_cast<std::size_t>(worker)];
      });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(workers), 1));
      EXPECT_EQ(threads[0], std::this_thread::get_id());
      EXPECT_EQ(std::set(threads.begin(), threads.end()).size(), static_cast<std::size_t>(workers));
    }
    EXPECT_EQ(prepared, workers);
  }
}

TEST(WorkerPool, WorkersRunAtTheSameTime) {
  WorkerPool pool(4, count_prepared);
  std::atomic<int> arrived = 0;
  pool.run([&](int) {
    ++arrived;
    while (arrived < 4) std::this_thread::yield();  // returns only if all four are here together
  });
  EXPECT_EQ(arrived, 4);
}

TEST(WorkerPool, SeesWhatWasWrittenBeforeAndShowsWhatWasWrittenWithin) {
  WorkerPool pool(3, count_prepared);
  std::vector<std::int64_t> values(3, 0);
  for (std::int64_t round = 1; round <= 2000; ++round) {
    pool.run([&](int worker) { values[static_cast<std::size_t>(worker)] += round * (worker + 1); });
    const std::int64_t sum = std::accumulate(values.begin(), values.end(), std::int64_t{0});
    ASSERT_EQ(sum, round * (round + 1) / 2 * 6);
  }
}

TEST(WorkerPool, RethrowsTheLowestWorkersExceptionAndStaysUsable) {
  WorkerPool pool(4, count_prepared);
  for (int repetition = 0; repetition < 50; ++repetition) {
    try {
      pool.run([](int worker) {
        if (worker >= 2) throw std::runtime_error("worker " + std::to_string(worker));
      });
      FAIL() << "no exception came out";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "worker 2");
    }
    std::atomic<int> calls = 0;
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls, 4);
  }
}

TEST(WorkerPool, GivesEachPieceToOneWorker) {
  WorkerPool pool(3, count_prepared);
  for (const std::int64_t pieces : {0, 1, 2, 3, 100}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(pieces));
    std::atomic<int> strangers = 0;
    pool.run_pieces(pieces, [&](std::int64_t piece, int worker) {
      ++calls[static_cast<std::size_t>(piece)];
      if (worker < 0 || worker >= 3) ++strangers;
    });
    for (const std::atomic<int>& count : calls) EXPECT_EQ(count, 1);
    EXPECT_EQ(strangers, 0);
  }
}

TEST(WorkerPool, LetsEachWorkerBeginWithItsShare) {
  WorkerPool pool(3, count_prepared);
  std::array<std::atomic<std::int64_t>, 3> first = {-1, -1, -1};
  std::atomic<int> begun = 0;
  pool.run_pieces(100, [&](std::int64_t piece, int worker) {
    std::int64_t none = -1;
    if (!first.at(static_cast<std::size_t>(worker)).compare_exchange_strong(none, piece)) return;
    ++begun;
    while (begun < 3) std::this_thread::yield();  // so that nobody is through before all have begun
  });
  EXPECT_EQ(first[0], 0);
  EXPECT_EQ(first[1], 33);
  EXPECT_EQ(first[2], 66);
}

TEST(WorkerPool, GivesAFreeWorkerWhatABusyOneLeaves) {
  WorkerPool pool(2, count_prepared);
  std::atomic<int> others = 0;
  pool.run_pieces(100, [&](std::int64_t piece, int /*worker*/) {
    if (piece > 0)
      ++others;
    else
      while (others < 99) std::this_thread::yield();  // returns only if another worker does all the rest
  });
  EXPECT_EQ(others, 99);
}

TEST(WorkerPool, WakesWorkersThatHaveGoneToSleep) {
  WorkerPool pool(2, count_prepared);
  for (int repetition = 0; repetition < 5; ++repetition) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    std::atomic<int> calls = 0;
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls, 2);
  }
}

}  // namespace
}  // namespace lockstep::train
