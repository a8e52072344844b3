#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "checkpoint/snapshot.h"

namespace lockstep::checkpoint {

/// Writes snapshots behind the training, on a thread of its own, one at a time and in the order in which they
/// came.
///
/// Threads: the members are for one thread, the one that trains. HDF5 is not safe for threads in every build:
/// between submit() and the end of its write (wait() returned, or idle() is true), nothing else in the
/// process may call the library. That thread calls no MPI.
///
/// Errors: what a write throws is kept, and thrown once by the next submit(), poll() or wait(). The thread
/// goes on, so a training may, too.
class Writer {
 public:
  /// Runs on the thread: puts a snapshot on disk.
  using Write = std::function<void(const Snapshot&)>;

  explicit Writer(Write write);
  /// Waits for the write in flight. An error that nobody has seen is logged.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Waits while an earlier one is being written, then takes this one and returns. When it throws the error
  /// of an earlier write, `snapshot` was not taken.
  void submit(Snapshot&& snapshot);
  /// Whether none is being written.
  [[nodiscard]] bool idle() const;
  /// Throws what an earlier write threw. Does not wait.
  void poll();
  /// Waits so long at most; whether none is being written then.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds patience) const;
  /// Returns when all that were submitted are on disk, or throws what went wrong.
  void wait();
  /// The snapshot last written, whether that went well or not, for its buffers: a state copied into them
  /// needs no memory of its own. Does not wait: nothing when it was taken back already, or when the only one
  /// so far is still being written.
  std::optional<Snapshot> recycle();

 private:
  void run();
  void rethrow(std::unique_lock<std::mutex>& lock);

  const Write write_;
  mutable std::mutex mutex_;  // of all that follows
  mutable std::condition_variable changed_;
  std::optional<Snapshot> pending_;  // taken, and being written or about to be
  std::optional<Snapshot> written_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lockstep::checkpoint
