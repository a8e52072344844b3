#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/check.h"
#include "device/cuda/launch_limits.h"

/// Kernels on a real device: see launch.h, which includes this and checks how launches went.
namespace lockstep::device::cuda {

/// One thread's view of its block.
class Block {
 public:
  [[nodiscard]] __device__ std::int64_t index() const { return blockIdx.x; }
  [[nodiscard]] __device__ int threads() const { return static_cast<int>(blockDim.x); }
  template <class T>
  [[nodiscard]] __device__ T* shared() const {
    extern __shared__ float4 lockstep_shared_memory[];
    return reinterpret_cast<T*>(lockstep_shared_memory);
  }
  template <class G>
  __device__ void for_each_thread(G g) const {
    g(static_cast<int>(threadIdx.x));
    __syncthreads();
  }
};

namespace impl {

inline constexpr int element_threads = max_block_threads;

// The functor stays where launches put their arguments (__grid_constant__): a kernel that indexes an array in
// it would else copy all of it into local memory.
template <class F>
__global__ void __launch_bounds__(element_threads) for_elements(std::int64_t n, const __grid_constant__ F f) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * element_threads + threadIdx.x;
  if (i < n) f(i);
}

template <class F>
__global__ void __launch_bounds__(max_block_threads) for_blocks(const __grid_constant__ F f) {
  f(Block());
}

inline unsigned grid(std::int64_t blocks) {
  check(blocks <= std::numeric_limits<std::int32_t>::max(), "a kernel has at most 2^31 - 1 blocks");
  return static_cast<unsigned>(blocks);
}

template <class F>
void launch_n(cudaStream_t stream, std::int64_t n, const F& f) {
  for_elements<<<grid((n - 1) / element_threads + 1), element_threads, 0, stream>>>(n, f);
}

template <class F>
void launch_blocks(cudaStream_t stream, std::int64_t blocks, int threads, std::size_t shared_bytes,
                   const F& f) {
  for_blocks<<<grid(blocks), static_cast<unsigned>(threads), shared_bytes, stream>>>(f);
}

}  // namespace impl
}  // namespace lockstep::device::cuda
