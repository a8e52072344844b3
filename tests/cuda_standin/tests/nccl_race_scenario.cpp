#include "nccl_race_scenario.h"

#include <nccl.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "cuda_runtime.h"

namespace lockstep::standin {
namespace {

constexpr std::size_t count = 1024;

/// Nothing fails here, or the scenario proves nothing.
void require(bool condition) {
  if (!condition) std::abort();
}

struct Rank {
  cudaStream_t stream = nullptr;
  ncclComm_t comm = nullptr;
  float* data = nullptr;
};

void make(Rank& rank, int number, const ncclUniqueId& id) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  require(cudaSetDevice(number) == cudaSuccess);
  require(ncclCommInitRankConfig(&rank.comm, 2, id, number, &config) == ncclInProgress);
  require(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking) == cudaSuccess);
  require(cudaMalloc(&rank.data, count * sizeof(float)) == cudaSuccess);
  require(cudaMemsetAsync(rank.data, 0, count * sizeof(float), rank.stream) == cudaSuccess);
  require(cudaStreamSynchronize(rank.stream) == cudaSuccess);
}

/// Polls both communicators until `done`.
template <class Done>
void poll(const std::array<Rank, 2>& ranks, Done done) {
  for (bool all = false; !all;) {
    all = true;
    for (const auto& rank : ranks) {
      ncclResult_t state = ncclSuccess;
      require(ncclCommGetAsyncError(rank.comm, &state) == ncclSuccess);
      all = done(rank, state) && all;
    }
  }
}

}  // namespace

void all_reduce_scenario(bool sound) {
  ncclUniqueId id;
  require(ncclGetUniqueId(&id) == ncclSuccess);
  std::array<Rank, 2> ranks;
  for (int number = 0; number < 2; ++number) make(ranks[static_cast<std::size_t>(number)], number, id);
  const auto settled = [](const Rank& /*rank*/, ncclResult_t state) { return state != ncclInProgress; };
  poll(ranks, settled);
  for (int number = 0; number < 2; ++number) {
    const auto& rank = ranks[static_cast<std::size_t>(number)];
    require(cudaSetDevice(number) == cudaSuccess);
    const auto result =
        ncclAllReduce(rank.data, rank.data, count, ncclFloat32, ncclSum, rank.comm, rank.stream);
    require(result == ncclSuccess || result == ncclInProgress);
  }
  poll(ranks, settled);

  require(cudaSetDevice(0) == cudaSuccess);
  cudaStream_t reader = nullptr;
  cudaEvent_t summed = nullptr;
  float* pinned = nullptr;
  require(cudaStreamCreateWithFlags(&reader, cudaStreamNonBlocking) == cudaSuccess);
  require(cudaEventCreateWithFlags(&summed, cudaEventDisableTiming) == cudaSuccess);
  require(cudaHostAlloc(&pinned, count * sizeof(float), cudaHostAllocDefault) == cudaSuccess);
  require(cudaEventRecord(summed, ranks[0].stream) == cudaSuccess);
  if (sound) require(cudaStreamWaitEvent(reader, summed, 0) == cudaSuccess);
  require(cudaMemcpyAsync(pinned, ranks[0].data, count * sizeof(float), cudaMemcpyDeviceToHost, reader) ==
          cudaSuccess);
  poll(ranks, [](const Rank& rank, ncclResult_t /*state*/) {
    const bool idle = cudaStreamQuery(rank.stream) == cudaSuccess;
    static_cast<void>(cudaGetLastError());
    return idle;
  });
  require(cudaStreamSynchronize(reader) == cudaSuccess);
  std::printf("%g\n", static_cast<double>(pinned[1]));

  require(cudaFreeHost(pinned) == cudaSuccess);
  require(cudaEventDestroy(summed) == cudaSuccess);
  require(cudaStreamDestroy(reader) == cudaSuccess);
  for (const auto& rank : ranks) {
    require(ncclCommAbort(rank.comm) == ncclSuccess);
    require(cudaFree(rank.data) == cudaSuccess);
    require(cudaStreamDestroy(rank.stream) == cudaSuccess);
  }
}

}  // namespace lockstep::standin
