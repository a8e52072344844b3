#pragma once

#include <cstddef>
#include <cstdint>

#include "device/cuda/launch.h"

/// Reductions within a block of threads, in an order that depends on nothing but the number of terms and of
/// threads. To be called outside of for_each_thread, by kernels whose shared memory begins with threads × T.
namespace lockstep::device::cuda {

/// Threads for a reduction of `count` terms: a power of two.
constexpr int reduction_threads(std::int64_t count) {
  int threads = 32;
  while (threads < 256 && threads < count) threads *= 2;
  return threads;
}

/// combine(initial, f(0), … f(count - 1)), the same for all threads: thread t combines terms t, t + threads,
/// …, then halves are combined with halves.
template <class T, class F, class Combine>
__device__ T reduce(const Block& block, std::int64_t count, T initial, const F& f, const Combine& combine) {
  T* const partial = block.shared<T>();
  const int threads = block.threads();
  block.for_each_thread([&](int thread) {
    T value = initial;
    for (std::int64_t i = thread; i < count; i += threads) value = combine(value, f(i));
    partial[thread] = value;
  });
  for (int half = threads / 2; half > 0; half /= 2)
    block.for_each_thread([&](int thread) {
      if (thread < half) partial[thread] = combine(partial[thread], partial[thread + half]);
    });
  T result = initial;
  // All have read it before the memory is used again.
  block.for_each_thread([&](int /*thread*/) { result = partial[0]; });
  return result;
}

template <class T, class F>
__device__ T sum(const Block& block, std::int64_t count, const F& f) {
  return reduce(block, count, T{0}, f, [](T a, T b) { return a + b; });
}

}  // namespace lockstep::device::cuda
