#pragma once

#include <functional>
#include <memory>

/// What ThreadSanitizer is told. race_detector_tsan.cpp does it; all other builds have
/// race_detector_none.cpp.
namespace lockstep::standin {

/// A sequence of work that nothing but release() and acquire() orders against the host and other sequences,
/// although all of it runs on the threads that call the stand-in.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Calls `work`, on this thread; what it does counts as done by the fiber.
  void run(const std::function<void()>& work);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// All that happened before release(at) happens before what follows acquire(at).
void release(const void* at);
void acquire(const void* at);

/// While there is one, what this thread (or the fiber that it is) reads and writes is the stand-in's own
/// business.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

/// Whether device memory is out of the host's reach while no operation runs. ThreadSanitizer sees the host's
/// accesses itself, and must see its own shadow of the memory.
[[nodiscard]] bool device_memory_is_hidden();

}  // namespace lockstep::standin
