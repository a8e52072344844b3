#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

/// What the stand-ins for the libraries (cuBLAS, cuDNN, NCCL) and for kernels build upon: how work gets onto
/// a stream, and what each function of an imitated interface must do first. A function looks like this:
///
///     cublasStatus_t cublasX(…) {
///       if (must_fail("cublasX")) return CUBLAS_STATUS_EXECUTION_FAILED;
///       const auto lock = enter();
///       … check the arguments …
///       enqueue(stream, "cublasX", {{x, bytes, false}, {y, bytes, true}}, [=] { … });
///       return CUBLAS_STATUS_SUCCESS;
///     }
namespace lockstep::standin {

/// To be called first in each function of the interface, without holding enter()'s lock. Counts the call;
/// true if the test asked that this one fails, or if the device has failed already. Never returns from a call
/// that the test asked to hang.
[[nodiscard]] bool must_fail(std::string_view call);

/// Guards the stand-in's state. May be locked again by the thread that has it. Whoever gives it up entirely
/// takes device memory out of the host's reach.
class Mutex {
 public:
  void lock();
  void unlock();
  /// Lets other threads in for a moment, however often this thread has locked it.
  void pause();

 private:
  std::mutex mutex_;
  std::atomic<std::thread::id> owner_;
  int depth_ = 0;
};

/// Keeps other threads out of the stand-in's state. Runs some of what is queued, if the seed has it so.
[[nodiscard]] std::unique_lock<Mutex> enter();

/// Memory that an operation reads or, if `writes`, changes.
struct Access {
  const void* address;
  std::size_t bytes;
  bool writes;
};

/// Queues one operation of a library, or one kernel. Checks that the accesses lie in live memory of the
/// stream's device or in page-locked memory, now and again when the operation runs. `work` runs later, once
/// everything that it has to follow is done, at a moment of the scheduler's choice, and only then can reach
/// device memory; or it is recorded, if the stream is capturing, and runs at each launch of the graph.
void enqueue(cudaStream_t stream, std::string_view call, std::vector<Access> accesses,
             std::function<void()> work);

/// The same for work that needs something from outside of this process. `try_work` is called whenever the
/// operation is next; false means "not yet": the scheduler goes on with others and asks again. In a graph,
/// each launch works on a copy of `try_work` as it was recorded.
void enqueue_pollable(cudaStream_t stream, std::string_view call, std::vector<Access> accesses,
                      std::function<bool()> try_work);

/// Runs some of what is ready. For functions that callers poll; call it within enter().
void advance();

/// A rule of the interface was broken by the caller, which is a defect in Lockstep and not a failure at run
/// time: prints the message and aborts.
[[noreturn]] void violation(std::string_view message);

/// Live handles by kind ("cudaStream_t", "cudnnHandle_t"), for the list of leaks.
void handle_created(std::string_view kind);
void handle_destroyed(std::string_view kind);

/// Aborts with violation() unless the stream is live and not the default stream.
void check_stream(cudaStream_t stream, std::string_view call);
[[nodiscard]] int stream_device(cudaStream_t stream);
[[nodiscard]] bool is_capturing(cudaStream_t stream);
[[nodiscard]] int current_device();  ///< of this thread, as cudaSetDevice set it
/// Like "GPU-5ce7a4d1-…": the same in every process of a host.
[[nodiscard]] std::string device_uuid(int device);

/// The next of the random numbers that the seed gives.
[[nodiscard]] std::uint64_t draw();
/// A value of LOCKSTEP_STANDIN, or of what a test set in its place; empty if it has none.
[[nodiscard]] std::string setting(std::string_view key);

/// Fills memory with signalling NaNs (as floats), huge numbers (as integers). For device memory: within
/// `work`.
void poison(void* memory, std::size_t bytes);

}  // namespace lockstep::standin
