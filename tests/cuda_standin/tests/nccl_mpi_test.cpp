#include <mpi.h>

#include <string>

#include "cuda_standin/tests/nccl_fixture.h"

namespace lockstep::standin {
namespace {

/// Each rank of the job is one of the communicator, on the device of its number.
class NcclMpiTest : public StandinTest {
 protected:
  NcclMpiTest() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  }
  void configure_ranks(int seed) const {
    configure("devices=" + std::to_string(ranks) + ",seed=" + std::to_string(seed * ranks + rank));
    expect_success(cudaSetDevice(rank));
  }
  [[nodiscard]] ncclComm_t begin() const {
    ncclUniqueId id = rank == 0 ? new_id() : ncclUniqueId{};
    MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, MPI_COMM_WORLD);
    return begin_communicator(id, ranks, rank);
  }
  static void finish(ncclComm_t comm) {
    expect_settled(comm, ncclCommFinalize(comm));
    expect_result(ncclCommDestroy(comm));
  }

  int rank = 0;
  int ranks = 0;
};

TEST_F(NcclMpiTest, ExchangesAndReductionsReplayedFromAGraph) {
  constexpr std::size_t size = 300'000;  // much more than sockets buffer
  for (int seed = 0; seed < 5; ++seed) {
    configure_ranks(seed);
    auto* const comm = begin();
    ASSERT_EQ(settle(comm), ncclSuccess);
    {
      const TestStream stream;
      const auto own = [&](std::size_t i) {
        return 1.0F / static_cast<float>(1 + (i + 17 * static_cast<std::size_t>(rank)) % 997);
      };
      std::vector<float> values(size);
      for (std::size_t i = 0; i < size; ++i) values[i] = own(i);
      const DeviceData<float> data(stream, values);
      const DeviceData<float> sum(size);
      const DeviceData<float> gathered(size * static_cast<std::size_t>(ranks));

      cudaGraph_t graph = nullptr;
      cudaGraphExec_t executable = nullptr;
      expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
      expect_settled(comm, ncclAllReduce(data.data(), sum.data(), size, ncclFloat32, ncclSum, comm, stream));
      expect_result(ncclGroupStart());
      for (int peer = 0; peer < ranks; ++peer) {
        expect_result(ncclSend(sum.data(), size, ncclFloat32, peer, comm, stream));
        expect_result(ncclRecv(gathered.data() + size * static_cast<std::size_t>(peer), size, ncclFloat32,
                               peer, comm, stream));
      }
      expect_settled(comm, ncclGroupEnd());
      expect_success(cudaStreamEndCapture(stream, &graph));
      expect_success(cudaGraphInstantiate(&executable, graph));
      expect_success(cudaGraphDestroy(graph));
      for (int launch = 0; launch < 3; ++launch) expect_success(cudaGraphLaunch(executable, stream));
      expect_success(cudaStreamSynchronize(stream));

      const auto sums = sum.read(stream);
      std::vector<float> by_mpi(size);
      MPI_Allreduce(values.data(), by_mpi.data(), static_cast<int>(size), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(sums[i], by_mpi[i], 8 * 0x1p-24 * by_mpi[i]);
      const auto all = gathered.read(stream);
      for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], sums[i % size]);
      expect_success(cudaGraphExecDestroy(executable));
    }
    finish(comm);
  }
}

TEST_F(NcclMpiTest, OneDeviceForTwoRanksIsRefused) {
  configure_ranks(1);
  expect_success(cudaSetDevice(0));
  auto* const comm = begin();
  EXPECT_EQ(settle(comm), ranks == 1 ? ncclSuccess : ncclInvalidUsage);
  expect_result(ncclCommAbort(comm));
}

TEST_F(NcclMpiTest, AnAbortOnOneRankIsAnErrorOnAllOthers) {
  if (ranks == 1) GTEST_SKIP() << "not run: there are no other ranks";
  configure_ranks(1);
  auto* const comm = begin();
  ASSERT_EQ(settle(comm), ncclSuccess);
  {
    const TestStream stream;
    const DeviceData<float> value(stream, {1});
    if (rank != ranks - 1)
      expect_settled(comm, ncclAllReduce(value.data(), value.data(), 1, ncclFloat32, ncclSum, comm, stream));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != ranks - 1) {
      // NCCL notices when it next tries to reach the other rank.
      ncclResult_t state = ncclSuccess;
      while (state == ncclSuccess || state == ncclInProgress)
        expect_result(ncclCommGetAsyncError(comm, &state));
      expect_result(state, ncclRemoteError);
    }
    expect_result(ncclCommAbort(comm));
    expect_success(cudaStreamSynchronize(stream));
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

}  // namespace
}  // namespace lockstep::standin
