#include "device/cuda/kernels/sums.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda/launch.h"
#include "device/cuda/sum_program.h"

namespace lockstep::device::cuda {
namespace {

constexpr int threads = 256;

/// A SumProgram of up to `capacity` terms as arguments of a kernel.
template <std::size_t capacity>
struct TreeSum {
  std::array<const float*, capacity> partials;
  std::array<std::uint8_t, capacity> additions;
  std::size_t terms;
  std::int64_t count;
  const UpdateArguments* arguments;  ///< null: the sum is not divided
  float* result;                     ///< may be one of the partial sums: each thread reads before it writes

  /// Each thread works through the program for one element, with a stack in a column of the shared memory:
  /// the columns of neighbours lie in different banks.
  __device__ void operator()(const Block& block) const {
    if (arguments != nullptr && arguments->skip != 0) return;
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
      result[i] = arguments != nullptr ? top / arguments->samples : top;
    });
  }
};
static_assert(sizeof(TreeSum<max_partial_sums>) <= 32764, "what CUDA 12.1 lets kernels have as arguments");

template <std::size_t capacity>
void launch_sum(cudaStream_t stream, const SumProgram& program,
                std::span<const DeviceSpan<const float>> partials, const UpdateArguments* arguments,
                DeviceSpan<float> result) {
  TreeSum<capacity> kernel = {};
  for (const SumTerm& term : program.terms) {
    kernel.partials[kernel.terms] = partials[static_cast<std::size_t>(term.partial)].data;
    kernel.additions[kernel.terms] = static_cast<std::uint8_t>(term.additions);
    ++kernel.terms;
  }
  kernel.count = result.count;
  kernel.arguments = arguments;
  kernel.result = result.data;
  const auto stack_bytes = static_cast<std::size_t>(program.depth) * threads * sizeof(float);
  launch_blocks(stream, (result.count + threads - 1) / threads, threads, stack_bytes, kernel);
}

void queue_sum(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
               std::span<const TreeAddition> additions, const UpdateArguments* arguments,
               DeviceSpan<float> result) {
  if (partials.size() > max_partial_sums)
    fail(ExitCode::bad_config,
         "device.kind=cuda adds up to {} partial sums, and this job has {}: use fewer ranks or a smaller "
         "training.shards",
         max_partial_sums, partials.size());
  check(std::ranges::all_of(partials, [&](const auto& partial) { return partial.count == result.count; }),
        "a sum has the size of its terms");
  const SumProgram program = make_sum_program(static_cast<int>(partials.size()), additions);
  if (partials.size() <= 32)
    launch_sum<32>(stream, program, partials, arguments, result);
  else if (partials.size() <= 448)
    launch_sum<448>(stream, program, partials, arguments, result);
  else
    launch_sum<max_partial_sums>(stream, program, partials, arguments, result);
}

}  // namespace

void sum(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
         std::span<const TreeAddition> additions, DeviceSpan<float> sum) {
  queue_sum(stream, partials, additions, nullptr, sum);
}

void mean(cudaStream_t stream, std::span<const DeviceSpan<const float>> partials,
          std::span<const TreeAddition> additions, DeviceSpan<const UpdateArguments> arguments,
          DeviceSpan<float> mean) {
  check(arguments.count == 1, "a mean has one number of samples");
  queue_sum(stream, partials, additions, arguments.data, mean);
}

}  // namespace lockstep::device::cuda
