#include "device/cuda/kernels/decision.h"

#include <algorithm>

#include "base/check.h"
#include "device/cuda/block_reduce.h"
#include "device/cuda/launch.h"

namespace lockstep::device::cuda {
namespace {

using Hashes = DeviceSpan<const std::uint64_t>;

/// One block of threads.
struct Find {
  StepEvidence evidence;
  StepFindings* findings;

  __device__ void operator()(const Block& block) const {
    const auto add = [&](const Hashes& hashes) {
      return sum<std::uint64_t>(block, hashes.count, [&](std::int64_t i) { return hashes.data[i]; });
    };
    const std::uint64_t recorded = add(evidence.recorded);
    const std::uint64_t copy = add(evidence.copy);
    std::uint64_t spoilt = sum<std::uint64_t>(block, evidence.totals.count, [&](std::int64_t i) {
      // Infinities less themselves are NaN.
      const double loss = evidence.totals.data[i].loss;
      return std::uint64_t{loss - loss != 0};
    });
    spoilt += sum<std::uint64_t>(block, evidence.not_finite.count, [&](std::int64_t i) {
      return std::uint64_t{evidence.not_finite.data[i] != 0};
    });
    for (std::size_t state = 0; state < StepEvidence::most_states; ++state) {
      const Hashes& was = evidence.state_recorded[state];
      const Hashes& is = evidence.state_now[state];
      spoilt += sum<std::uint64_t>(block, was.count,
                                   [&](std::int64_t i) { return std::uint64_t{was.data[i] != is.data[i]}; });
    }
    block.for_each_thread([&](int thread) {
      if (thread == 0) *findings = {.recorded = recorded, .copy = copy, .spoilt = spoilt};
    });
  }
};

/// One thread: there are few ranks.
struct Decide {
  DeviceSpan<const StepFindings> of_ranks;
  WeightsOwner owner;
  std::uint32_t* halted;
  UpdateArguments* arguments;

  __device__ void operator()(std::int64_t /*i*/) const {
    std::uint64_t all_parts = 0;
    for (std::int64_t rank = 0; rank < of_ranks.count; ++rank) all_parts += of_ranks.data[rank].recorded;
    bool good = *halted == 0;
    for (std::int64_t rank = 0; rank < of_ranks.count; ++rank) {
      const StepFindings& found = of_ranks.data[rank];
      const std::uint64_t written = owner == WeightsOwner::each_rank ? found.recorded : all_parts;
      good = good && found.spoilt == 0 && found.copy == written;
    }
    *halted = good ? 0 : 1;
    arguments->skip = *halted;
  }
};

}  // namespace

void find(cudaStream_t stream, const StepEvidence& evidence, DeviceSpan<StepFindings> findings) {
  check(findings.count == 1, "evidence comes to one set of findings");
  for (std::size_t state = 0; state < StepEvidence::most_states; ++state)
    check(evidence.state_recorded[state].count == evidence.state_now[state].count,
          "each block of a state was hashed twice");
  const int threads = reduction_threads(std::max(evidence.copy.count, evidence.not_finite.count));
  launch_blocks(stream, 1, threads, static_cast<std::size_t>(threads) * sizeof(std::uint64_t),
                Find{evidence, findings.data});
}

void decide(cudaStream_t stream, DeviceSpan<const StepFindings> of_ranks, WeightsOwner owner,
            DeviceSpan<std::uint32_t> halted, DeviceSpan<UpdateArguments> arguments) {
  check(halted.count == 1 && arguments.count == 1, "one decision is about one update");
  launch_n(stream, 1, Decide{of_ranks, owner, halted.data, arguments.data});
}

}  // namespace lockstep::device::cuda
