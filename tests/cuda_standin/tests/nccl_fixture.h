#pragma once

#include <nccl.h>
#include <sched.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "cuda_standin/tests/device_data.h"

namespace lockstep::standin {

inline void expect_result(ncclResult_t result, ncclResult_t expected = ncclSuccess) {
  EXPECT_EQ(result, expected) << ncclGetErrorString(result);
}

/// Polls a communicator until nothing is in progress, as callers of non-blocking ones have to.
inline ncclResult_t settle(ncclComm_t comm) {
  for (;;) {
    ncclResult_t state = ncclInProgress;
    if (const auto result = ncclCommGetAsyncError(comm, &state); result != ncclSuccess) return result;
    if (state != ncclInProgress) return state;
    sched_yield();
  }
}

/// Of a call that may still be in progress.
inline void expect_settled(ncclComm_t comm, ncclResult_t result) {
  if (result == ncclInProgress) result = settle(comm);
  expect_result(result);
}

inline ncclUniqueId new_id() {
  ncclUniqueId id;
  expect_result(ncclGetUniqueId(&id));
  return id;
}

/// Begins to make a non-blocking communicator on the current device.
inline ncclComm_t begin_communicator(const ncclUniqueId& id, int ranks, int rank) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  expect_result(ncclCommInitRankConfig(&comm, ranks, id, rank, &config), ncclInProgress);
  return comm;
}

/// Whether all is done that a stream was given.
inline bool idle(cudaStream_t stream) {
  const auto status = cudaStreamQuery(stream);
  if (status == cudaErrorNotReady) static_cast<void>(cudaGetLastError());
  return status == cudaSuccess;
}

/// All ranks in one process and one thread, each on a device of its own, which non-blocking communicators
/// allow.
class RanksTest : public StandinTest {
 protected:
  struct Rank {
    std::unique_ptr<TestStream> stream;
    ncclComm_t comm = nullptr;
  };

  void connect(int count) {
    const auto id = new_id();
    for (int rank = 0; rank < count; ++rank) {
      expect_success(cudaSetDevice(rank));
      ranks.push_back({std::make_unique<TestStream>(), begin_communicator(id, count, rank)});
    }
    wait_for_all([](const Rank& rank) {
      ncclResult_t state = ncclInProgress;
      expect_result(ncclCommGetAsyncError(rank.comm, &state));
      return state != ncclInProgress;
    });
    for (const auto& rank : ranks) ASSERT_EQ(settle(rank.comm), ncclSuccess);
    expect_success(cudaSetDevice(0));
  }

  /// Does `call` on each rank's device, in turn.
  template <class Call>
  void on_each(Call call) {
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      expect_success(cudaSetDevice(static_cast<int>(rank)));
      call(static_cast<int>(rank), ranks[rank]);
    }
  }

  template <class Done>
  void wait_for_all(Done done) {
    for (bool all = false; !all;) {
      all = true;
      for (const auto& rank : ranks) all = done(rank) && all;
    }
  }
  void wait_for_streams() {
    wait_for_all([](const Rank& rank) { return idle(*rank.stream); });
  }

  void finish() {
    for (const auto& rank : ranks) expect_result(ncclCommFinalize(rank.comm), ncclInProgress);
    wait_for_all([](const Rank& rank) {
      ncclResult_t state = ncclInProgress;
      expect_result(ncclCommGetAsyncError(rank.comm, &state));
      return state != ncclInProgress;
    });
    for (const auto& rank : ranks) expect_result(ncclCommDestroy(rank.comm));
    ranks.clear();
  }

  std::vector<Rank> ranks;
};

}  // namespace lockstep::standin
