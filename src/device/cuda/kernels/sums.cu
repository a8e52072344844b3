#include "device/cuda/kernels/sums.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "device/cuda/launch.h"
#include "device/cuda/sum_program.h"

namespace lockstep::device::cuda {
namespace {

constexpr int threads = 256;

struct Add {
  const float* a;
  const float* b;
  float* sum;
  __device__ void operator()(std::int64_t i) const { sum[i] = a[i] + b[i]; }
};

/// A SumProgram of up to `capacity` terms as arguments of a kernel.
template <std::size_t capacity>
struct Mean {
  std::array<const float*, capacity> partials;
  std::array<std::uint8_t, capacity> additions;
  std::size_t terms;
  std::int64_t count;
  const UpdateArguments* arguments;
  float* mean;

  /// Each thread works through the program for one element, with a stack in a column of the shared memory:
  /// the columns of neighbours lie in different banks.
  __device__ void operator()(const Block& block) const {
    block.for_each_thread([&](int thread) {
      const std::int64_t i = block.index() * block.threads() + thread;
      if (i >= count) return;
      float* const column = block.shared<float>() + thread;
      int height = 0;
      float top = 0;  // the stack's uppermost number; those below are in the column
      for (std::size_t term = 0; term < terms; ++term) {
        if (height > 0) column[(height - 1) * block.threads()] = top;
        top = partials[term][i];
        ++height;
        for (int left = additions[term]; left > 0; --left) {
          --height;
          top = column[(height - 1) * block.threads()] + top;
        }
      }
      mean[i] = top / arguments->samples;
    });
  }
};
static_assert(sizeof(Mean<max_partial_sums>) <= 32764, "what CUDA 12.1 lets kernels have as arguments");

template <std::size_t capacity>
void launch_mean(cudaStream_t stream, const SumProgram& program,
                 std::span<const DeviceSpan<const float>> partials,
                 DeviceSpan<const UpdateArguments> arguments, DeviceSpan<float> mean) {
  Mean<capacity> kernel = {};
  for (const SumTerm& term : program.terms) {
    kernel.partials[kernel.terms] = partials[static_cast<std::size_t>(term.partial)].data;
    kernel.additions[kernel.terms] = static_cast<std::uint8_t>(term.additions);
    ++kernel.terms;
  }
  kernel.count = mean.count;
  kernel.arguments = arguments.data;
  kernel.mean = mean.data;
  const auto stack_bytes = static_cast<std::size_t>(program.depth) * threads * sizeof(float);
  launch_blocks(stream, (mean.count + threads - 1) / threads, threads, stack_bytes, kernel);
}

}  // namespace

void add(cudaStream_t stream, DeviceSpan<const float> a, DeviceSpan<const float> b, DeviceSpan<float> sum) {
  check(a.count == sum.count && b.count == sum.count, "a sum has the size of its terms");
  launch_n(stream, sum.count, Add{a.data, b.data, sum.data});
}

void mean(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
          std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
          DeviceSpan<float> mean) {
  check(arguments.count == 1, "a mean has one number of samples");
  check(partials.size() <= max_partial_sums, "a kernel adds so many partial sums");
  check(std::ranges::all_of(partials, [&](const auto& partial) { return partial.count == mean.count; }),
        "a sum has the size of its terms");
  const SumProgram program = make_sum_program(static_cast<int>(partials.size()), additions);
  if (partials.size() <= 32)
    launch_mean<32>(stream, program, partials, arguments, mean);
  else if (partials.size() <= 448)
    launch_mean<448>(stream, program, partials, arguments, mean);
  else
    launch_mean<max_partial_sums>(stream, program, partials, arguments, mean);
}

}  // namespace lockstep::device::cuda
