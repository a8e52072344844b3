#include <limits>

#include "base/portable_math.h"
#include "device/cuda/block_reduce.h"
#include "device/cuda/launch.h"
#include "device/cuda/loss.h"

namespace lockstep::device::cuda {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// One block for each sample.
struct SampleLoss {
  LossArguments arguments;

  __device__ void operator()(const Block& block) const {
    const std::int64_t sample = block.index();
    const std::int64_t label = arguments.labels[sample];
    if (label < 0 || label >= arguments.classes)
      refuse(block);
    else if (arguments.kind == config::Loss::softmax_cross_entropy)
      cross_entropy(block, label);
    else
      squared_error(block, label);
  }

  __device__ void cross_entropy(const Block& block, std::int64_t label) const {
    const float* const x = outputs(block);
    const std::int64_t count = arguments.classes;
    const double greatest = reduce(
        block, count, -std::numeric_limits<double>::infinity(), [&](std::int64_t i) { return double{x[i]}; },
        [](double a, double b) { return a < b ? b : a; });
    const double total =
        sum<double>(block, count, [&](std::int64_t i) { return portable_exp(x[i] - greatest); });
    write_gradient(
        block, [&](std::int64_t i) { return portable_exp(x[i] - greatest) / total - (i == label ? 1 : 0); });
    finish(block, label, portable_log(total) - (x[label] - greatest));
  }

  __device__ void squared_error(const Block& block, std::int64_t label) const {
    const float* const x = outputs(block);
    const auto count = static_cast<double>(arguments.classes);
    const auto error = [&](std::int64_t i) { return x[i] - (i == label ? 1.0 : 0.0); };
    const double total =
        sum<double>(block, arguments.classes, [&](std::int64_t i) { return error(i) * error(i); });
    write_gradient(block, [&](std::int64_t i) { return 2 * error(i) / count; });
    finish(block, label, total / count);
  }

  __device__ void refuse(const Block& block) const {
    write_gradient(block, [](std::int64_t /*i*/) { return nan; });
    record(block, nan, false);
  }

  /// A sample is correct when the first of its greatest outputs is its label's.
  __device__ void finish(const Block& block, std::int64_t label, double loss) const {
    const float* const x = outputs(block);
    const int behind = reduce(
        block, arguments.classes, 1,
        [&](std::int64_t i) { return i < label ? int{x[i] < x[label]} : int{x[i] <= x[label]}; },
        [](int a, int b) { return a & b; });
    record(block, loss, behind != 0);
  }

  template <class F>
  __device__ void write_gradient(const Block& block, const F& of) const {
    if (arguments.gradient == nullptr) return;
    float* const gradient = arguments.gradient + block.index() * arguments.classes;
    block.for_each_thread([&](int thread) {
      for (std::int64_t i = thread; i < arguments.classes; i += block.threads())
        gradient[i] = static_cast<float>(of(i));
    });
  }

  __device__ void record(const Block& block, double loss, bool correct) const {
    block.for_each_thread([&](int thread) {
      if (thread != 0) return;
      arguments.sample_losses[block.index()] = loss;
      arguments.sample_correct[block.index()] = correct ? 1 : 0;
    });
  }

  [[nodiscard]] __device__ const float* outputs(const Block& block) const {
    return arguments.outputs + block.index() * arguments.classes;
  }
};

/// One block for all.
struct AddSamples {
  LossArguments arguments;
  Totals* totals;

  __device__ void operator()(const Block& block) const {
    const std::int64_t samples = arguments.samples;
    const double loss =
        sum<double>(block, samples, [&](std::int64_t i) { return arguments.sample_losses[i]; });
    const auto correct = sum<std::int64_t>(
        block, samples, [&](std::int64_t i) { return std::int64_t{arguments.sample_correct[i]}; });
    block.for_each_thread([&](int thread) {
      if (thread == 0) *totals = {loss, correct, samples};
    });
  }
};

}  // namespace

void queue_loss(cudaStream_t stream, const LossArguments& arguments, Totals* totals) {
  const int sample_threads = reduction_threads(arguments.classes);
  launch_blocks(stream, arguments.samples, sample_threads,
                static_cast<std::size_t>(sample_threads) * sizeof(double), SampleLoss{arguments});
  const int threads = reduction_threads(arguments.samples);
  launch_blocks(stream, 1, threads, static_cast<std::size_t>(threads) * sizeof(double),
                AddSamples{arguments, totals});
}

}  // namespace lockstep::device::cuda
