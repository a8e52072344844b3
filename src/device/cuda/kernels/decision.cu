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
  std::int64_t count;  ///< of the longest list
  StepFindings* findings;

  __device__ void operator()(const Block& block) const {
    const StepFindings all = reduce(
        block, count, StepFindings{}, [&](std::int64_t i) { return of(i); },
        [](const StepFindings& a, const StepFindings& b) {
          return StepFindings{a.recorded + b.recorded, a.copy + b.copy, a.spoilt + b.spoilt};
        });
    block.for_each_thread([&](int thread) {
      if (thread == 0) *findings = all;
    });
  }

  /// What the i-th elements of all lists come to.
  [[nodiscard]] __device__ StepFindings of(std::int64_t i) const {
    const auto hash = [i](const Hashes& hashes) { return i < hashes.count ? hashes.data[i] : 0; };
    StepFindings found{.recorded = hash(evidence.recorded), .copy = hash(evidence.copy), .spoilt = 0};
    if (i < evidence.totals.count) {
      const double loss = evidence.totals.data[i].loss;
      if (loss - loss != 0) ++found.spoilt;  // infinities less themselves are NaN
    }
    if (i < evidence.not_finite.count && evidence.not_finite.data[i] != 0) ++found.spoilt;
    for (std::size_t state = 0; state < StepEvidence::most_states; ++state)
      if (hash(evidence.state_recorded[state]) != hash(evidence.state_now[state])) ++found.spoilt;
    return found;
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
  std::int64_t count = std::max(
      {evidence.totals.count, evidence.not_finite.count, evidence.recorded.count, evidence.copy.count});
  for (const Hashes& hashes : evidence.state_recorded) count = std::max(count, hashes.count);
  const int threads = reduction_threads(count);
  launch_blocks(stream, 1, threads, static_cast<std::size_t>(threads) * sizeof(StepFindings),
                Find{evidence, count, findings.data});
}

void decide(cudaStream_t stream, DeviceSpan<const StepFindings> of_ranks, WeightsOwner owner,
            DeviceSpan<std::uint32_t> halted, DeviceSpan<UpdateArguments> arguments) {
  check(halted.count == 1 && arguments.count == 1, "one decision is about one update");
  launch_n(stream, 1, Decide{of_ranks, owner, halted.data, arguments.data});
}

}  // namespace lockstep::device::cuda
