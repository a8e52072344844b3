#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <source_location>

#include "base/check.h"
#include "device/cuda/error.h"
#include "device/cuda/launch_limits.h"
// Which file this is, the build decides: nvcc/launch_impl.h, or the tests' stand-in for a device.
#include <launch_impl.h>

/// How own kernels are started. A kernel is a functor: a struct of plain data with an operator() that is
/// `__device__` and const, passed by value. nvcc compiles it for the device; g++ compiles the same source for
/// the tests' stand-in, which runs it in loops. So a kernel uses no CUDA built-in but what is offered here.
namespace lockstep::device::cuda {

/// Calls f(i) for each i in [0, n), in any order or at once: nothing may depend on another i. Queued on the
/// stream; n = 0 queues nothing.
template <class F>
void launch_n(cudaStream_t stream, std::int64_t n, const F& f,
              std::source_location where = std::source_location::current()) {
  check(n >= 0, "a kernel has no negative number of elements", where);
  if (n == 0) return;
  impl::launch_n(stream, n, f);
  call_launch(where);
}

/// Calls f(block) for each of `blocks` blocks of `threads` threads that share `shared_bytes` of memory, with
/// a Block that has:
///
///     std::int64_t index();       which block this is
///     int threads();
///     T* shared<T>();             the start of the block's shared memory, aligned to 16 bytes
///     void for_each_thread(g);    calls g(thread) for each of its threads at once, and waits for them
///
/// What one thread hands on to others lies in shared memory, and passes between one for_each_thread and the
/// next. Outside of them f may compute what is the same for all threads, but write nothing.
template <class F>
void launch_blocks(cudaStream_t stream, std::int64_t blocks, int threads, std::size_t shared_bytes,
                   const F& f, std::source_location where = std::source_location::current()) {
  check(blocks >= 0 && threads > 0 && threads <= max_block_threads && shared_bytes <= max_shared_bytes,
        "a kernel's blocks fit every device", where);
  if (blocks == 0) return;
  impl::launch_blocks(stream, blocks, threads, shared_bytes, f);
  call_launch(where);
}

}  // namespace lockstep::device::cuda
