#include <string>

#include "cuda_standin/tests/nccl_fixture.h"

namespace lockstep::standin {
namespace {

using NcclRulesTest = RanksTest;
using NcclRulesDeathTest = RanksTest;

TEST_F(NcclRulesTest, TwoRanksOnOneDeviceAreRefused) {
  configure("devices=2");
  const auto id = new_id();
  std::vector<ncclComm_t> comms;
  for (const int device : {0, 1, 1}) {
    expect_success(cudaSetDevice(device));
    comms.push_back(begin_communicator(id, 3, static_cast<int>(comms.size())));
  }
  for (int round = 0; round < 10; ++round)
    for (auto* comm : comms) {
      ncclResult_t state = ncclInProgress;
      expect_result(ncclCommGetAsyncError(comm, &state));
    }
  for (auto* comm : comms) {
    EXPECT_EQ(settle(comm), ncclInvalidUsage);
    EXPECT_NE(std::string(ncclGetLastError(comm)).find("rank 2 and rank 1 both on CUDA device"),
              std::string::npos);
    expect_result(ncclCommAbort(comm));
  }
}

TEST_F(NcclRulesTest, RefusesWrongArguments) {
  ncclComm_t comm = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 2, new_id(), 2, &config), ncclInvalidArgument);
  config.magic = 0;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, new_id(), 0, &config), ncclInvalidArgument);
  connect(1);
  auto* const stream = static_cast<cudaStream_t>(*ranks[0].stream);
  const DeviceData<float> value(1);
  EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 1, ranks[0].comm, stream), ncclInvalidArgument);
  EXPECT_EQ(ncclSend(nullptr, 1, ncclFloat32, 0, ranks[0].comm, stream), ncclInvalidArgument);
  EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 0, nullptr, stream), ncclInvalidArgument);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  // One wrong call, and nothing of its group is done.
  expect_result(ncclGroupStart());
  EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 7, ranks[0].comm, stream), ncclInvalidArgument);
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidArgument);
  expect_result(ncclGroupStart());
  expect_result(ncclGroupEnd());
  finish();
}

TEST_F(NcclRulesTest, FailsWhereATestAsksForIt) {
  configure("fail=ncclCommInitRankConfig:1,fail=ncclRecv:1,fail=ncclGroupEnd:2,fail=nccl_async_error:10");
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRankConfig(&comm, 1, new_id(), 0, nullptr), ncclSystemError);
  expect_result(ncclCommInitRankConfig(&comm, 1, new_id(), 0, nullptr));
  const TestStream stream;
  const DeviceData<float> value(1);
  expect_result(ncclGroupStart());
  expect_result(ncclSend(value.data(), 1, ncclFloat32, 0, comm, stream));
  EXPECT_EQ(ncclRecv(value.data(), 1, ncclFloat32, 0, comm, stream), ncclUnhandledCudaError);
  EXPECT_EQ(ncclGroupEnd(), ncclUnhandledCudaError);
  expect_result(ncclGroupStart());
  EXPECT_EQ(ncclGroupEnd(), ncclUnhandledCudaError);
  expect_success(cudaStreamSynchronize(stream));
  for (int poll = 1; poll < 10; ++poll) EXPECT_EQ(settle(comm), ncclSuccess);
  EXPECT_EQ(settle(comm), ncclRemoteError);
  expect_result(ncclCommAbort(comm));
}

TEST_F(NcclRulesDeathTest, NoticesWhatTheLibraryWouldNot) {
  configure("devices=2,seed=3");
  connect(2);
  std::vector<std::unique_ptr<DeviceData<float>>> values;
  on_each([&](int /*r*/, const Rank& rank) {
    values.push_back(std::make_unique<DeviceData<float>>(*rank.stream, std::vector<float>(8)));
  });
  const auto exchange = [&](std::size_t sent, std::size_t received) {
    on_each([&](int r, const Rank& rank) {
      auto* data = values[static_cast<std::size_t>(r)]->data();
      expect_settled(rank.comm, r == 0 ? ncclSend(data, sent, ncclFloat32, 1, rank.comm, *rank.stream)
                                       : ncclRecv(data, received, ncclFloat32, 0, rank.comm, *rank.stream));
    });
    wait_for_streams();
  };
  exchange(3, 3);
  EXPECT_DEATH(exchange(3, 4), "rank 0 sends 3 elements of type 7 to rank 1, which receives 4");

  expect_success(cudaSetDevice(0));
  auto* const comm = ranks[0].comm;
  auto* const stream = static_cast<cudaStream_t>(*ranks[0].stream);
  auto* const data = values[0]->data();
  EXPECT_DEATH(
      {
        // Sooner or later a call stays in progress, and the next one comes too early.
        for (int call = 0; call < 100; ++call)
          static_cast<void>(ncclSend(data, 1, ncclFloat32, 1, comm, stream));
      },
      "still in progress");
  EXPECT_DEATH(
      {
        const TestStream other;
        for (auto* const each : {stream, static_cast<cudaStream_t>(other)})
          expect_settled(comm, ncclSend(data, 1, ncclFloat32, 1, comm, each));
        for (;;) static_cast<void>(idle(stream) && idle(other));
      },
      "two operations of one communicator run at a time");
  EXPECT_DEATH(
      {
        static_cast<void>(cudaSetDevice(1));
        static_cast<void>(ncclSend(data, 1, ncclFloat32, 1, comm, *ranks[1].stream));
      },
      "another device");
  EXPECT_DEATH(
      {
        cudaGraph_t graph = nullptr;
        static_cast<void>(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        expect_settled(comm, ncclSend(data, 1, ncclFloat32, 1, comm, stream));
        static_cast<void>(cudaStreamEndCapture(stream, &graph));
        static_cast<void>(ncclCommDestroy(comm));
      },
      "graphs");
  EXPECT_DEATH(
      {
        cudaGraph_t graph = nullptr;
        for (int call = 0; call < 100; ++call) {
          static_cast<void>(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
          const auto result = ncclSend(data, 1, ncclFloat32, 1, comm, stream);
          static_cast<void>(cudaStreamEndCapture(stream, &graph));
          expect_settled(comm, result);
        }
      },
      "a capture was begun or ended");
  values.clear();
  finish();
}

}  // namespace
}  // namespace lockstep::standin
