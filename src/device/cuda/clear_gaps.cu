#include <algorithm>
#include <cstddef>

#include "device/cuda/clear_gaps.h"
#include "device/cuda/launch.h"

namespace lockstep::device::cuda {
namespace {

constexpr std::size_t capacity = 32;

/// A block for each gap: one launch instead of a memset for each.
struct ClearGaps {
  Range gaps[capacity];  // NOLINT(*-avoid-c-arrays): a plain struct for the device
  float* slab;

  __device__ void operator()(const Block& block) const {
    const Range gap = gaps[block.index()];
    block.for_each_thread([&](int thread) {
      for (std::int64_t i = gap.begin + thread; i < gap.end; i += block.threads()) slab[i] = 0;
    });
  }
};

}  // namespace

void clear_gaps(cudaStream_t stream, std::span<const Range> gaps, float* slab) {
  while (!gaps.empty()) {
    const std::size_t count = std::min(gaps.size(), capacity);
    ClearGaps kernel = {.gaps = {}, .slab = slab};
    std::ranges::copy(gaps.first(count), kernel.gaps);
    launch_blocks(stream, static_cast<std::int64_t>(count), 128, 0, kernel);
    gaps = gaps.subspan(count);
  }
}

}  // namespace lockstep::device::cuda
