#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <typeinfo>

// The launch seams (src/device/cuda/launch.h) on the stand-in: a kernel is a loop that runs on the stream
// later. Elements, blocks and the threads of a block take their turns in an order that the seed draws.

namespace lockstep::standin {

/// Queues a kernel, whose functor is of type `kernel`. A failure is left for cudaGetLastError.
void enqueue_kernel(cudaStream_t stream, const std::type_info& kernel, std::function<void()> work);

/// The numbers 0 … n - 1 in one of several orders.
class Sweep {
 public:
  /// Draws an order.
  explicit Sweep(std::int64_t n);
  template <class F>
  void operator()(const F& f) const {
    switch (order_) {
      case Order::up:
        for (std::int64_t i = 0; i < n_; ++i) f(i);
        return;
      case Order::down:
        for (std::int64_t i = n_; i-- > 0;) f(i);
        return;
      case Order::halves:  // from the middle to the end, then from the start to the middle
        for (std::int64_t i = n_ / 2; i < n_; ++i) f(i);
        for (std::int64_t i = 0; i < n_ / 2; ++i) f(i);
        return;
      case Order::odd_first:
        for (std::int64_t i = 1; i < n_; i += 2) f(i);
        for (std::int64_t i = 0; i < n_; i += 2) f(i);
        return;
    }
  }

 private:
  enum class Order : std::uint8_t { up, down, halves, odd_first };
  std::int64_t n_;
  Order order_;
};

/// The shared memory of a launch's blocks, which run one after the other; aligned to 256 bytes.
class SharedMemory {
 public:
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  /// Poisons it for the next block.
  [[nodiscard]] std::byte* renew() const;

 private:
  std::size_t bytes_;
  std::byte* memory_;
};

/// Rules for a launch: at most 1024 threads a block, 48 KiB of shared memory, 2^31 - 1 blocks.
void check_launch_shape(std::int64_t blocks, int threads, std::size_t shared_bytes);

}  // namespace lockstep::standin

namespace lockstep::device::cuda {

/// One block of cooperating threads, as launch.h describes it.
class Block {
 public:
  Block(std::int64_t index, int threads, std::byte* shared)
      : index_(index), threads_(threads), shared_(shared) {}

  [[nodiscard]] std::int64_t index() const { return index_; }
  [[nodiscard]] int threads() const { return threads_; }
  template <class T>
  [[nodiscard]] T* shared() const {
    return reinterpret_cast<T*>(shared_);
  }
  template <class G>
  void for_each_thread(G g) const {
    standin::Sweep sweep(threads_);
    sweep([&g](std::int64_t thread) { g(static_cast<int>(thread)); });
  }

 private:
  std::int64_t index_;
  int threads_;
  std::byte* shared_;
};

namespace impl {

template <class F>
void launch_n(cudaStream_t stream, std::int64_t n, const F& f) {
  standin::enqueue_kernel(stream, typeid(F), [n, f] {
    const standin::Sweep sweep(n);
    sweep(f);
  });
}

template <class F>
void launch_blocks(cudaStream_t stream, std::int64_t blocks, int threads, std::size_t shared_bytes,
                   const F& f) {
  standin::check_launch_shape(blocks, threads, shared_bytes);
  standin::enqueue_kernel(stream, typeid(F), [=] {
    const standin::SharedMemory shared(shared_bytes);
    standin::Sweep sweep(blocks);
    sweep([&](std::int64_t index) { f(Block(index, threads, shared.renew())); });
  });
}

}  // namespace impl
}  // namespace lockstep::device::cuda
