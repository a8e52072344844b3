#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "cuda_standin/tests/nccl_fixture.h"

namespace lockstep::standin {
namespace {

using NcclTest = RanksTest;

TEST_F(NcclTest, GroupsExchangeAmongAllRanks) {
  for (int seed = 0; seed < 20; ++seed) {
    configure("devices=4,seed=" + std::to_string(seed));
    connect(4);
    // Rank r sends to rank q the numbers 10r + q, q + 1 of them; to itself, too.
    std::vector<std::unique_ptr<DeviceData<std::int32_t>>> sent;
    std::vector<std::unique_ptr<DeviceData<std::int32_t>>> received;
    on_each([&](int r, const Rank& rank) {
      expect_result(ncclGroupStart());
      for (int q = 0; q < 4; ++q) {
        sent.push_back(std::make_unique<DeviceData<std::int32_t>>(
            *rank.stream, std::vector<std::int32_t>(static_cast<std::size_t>(q + 1), 10 * r + q)));
        received.push_back(std::make_unique<DeviceData<std::int32_t>>(static_cast<std::size_t>(r + 1)));
        expect_result(ncclSend(sent.back()->data(), static_cast<std::size_t>(q + 1), ncclInt32, q, rank.comm,
                               *rank.stream));
        expect_result(ncclRecv(received.back()->data(), static_cast<std::size_t>(r + 1), ncclInt32, q,
                               rank.comm, *rank.stream));
      }
      expect_settled(rank.comm, ncclGroupEnd());
    });
    wait_for_streams();
    on_each([&](int r, const Rank& rank) {
      for (int q = 0; q < 4; ++q)
        EXPECT_EQ(received[static_cast<std::size_t>(4 * r + q)]->read(*rank.stream),
                  std::vector<std::int32_t>(static_cast<std::size_t>(r + 1), 10 * q + r));
    });
    finish();
  }
}

TEST_F(NcclTest, AllReduceAddsWithTheSameBitsOnAllRanks) {
  for (int count = 1; count <= 4; ++count) {
    configure("devices=4,seed=" + std::to_string(count));
    connect(count);
    const std::size_t size = 1001;
    std::vector<float> sums(size);
    std::vector<std::unique_ptr<DeviceData<float>>> values;
    on_each([&](int r, const Rank& rank) {
      std::vector<float> own(size);
      for (std::size_t i = 0; i < size; ++i) {
        own[i] = 1.0F / static_cast<float>(1 + (i * 7 + static_cast<std::size_t>(r) * 13) % 101);
        sums[i] += own[i];
      }
      values.push_back(std::make_unique<DeviceData<float>>(*rank.stream, own));
      expect_settled(rank.comm, ncclAllReduce(values.back()->data(), values.back()->data(), size, ncclFloat32,
                                              ncclSum, rank.comm, *rank.stream));
    });
    wait_for_streams();
    const auto first = values[0]->read(*ranks[0].stream);
    on_each([&](int r, const Rank& rank) {
      EXPECT_EQ(values[static_cast<std::size_t>(r)]->read(*rank.stream), first);
    });
    for (std::size_t i = 0; i < size; ++i) ASSERT_NEAR(first[i], sums[i], 4 * 0x1p-24 * sums[i]);
    // In another order than rank by rank, which shows from three ranks on.
    EXPECT_EQ(first == sums, count < 3);
    finish();
  }
}

TEST_F(NcclTest, MessagesBetweenTwoRanksArePairedInOrder) {
  configure("devices=2,seed=3");
  connect(2);
  const DeviceData<float> one(*ranks[0].stream, {1});
  const DeviceData<float> two(*ranks[0].stream, {2});
  expect_success(cudaSetDevice(1));
  const DeviceData<float> first(1);
  const DeviceData<float> second(1);
  expect_success(cudaSetDevice(0));
  for (const auto* data : {&one, &two})
    expect_settled(ranks[0].comm, ncclSend(data->data(), 1, ncclFloat32, 1, ranks[0].comm, *ranks[0].stream));
  expect_success(cudaSetDevice(1));
  for (const auto* data : {&first, &second})
    expect_settled(ranks[1].comm, ncclRecv(data->data(), 1, ncclFloat32, 0, ranks[1].comm, *ranks[1].stream));
  wait_for_streams();
  EXPECT_EQ(first.read(*ranks[1].stream).front(), 1);
  EXPECT_EQ(second.read(*ranks[1].stream).front(), 2);
  finish();
}

TEST_F(NcclTest, GraphsReplayExchanges) {
  for (int seed = 0; seed < 20; ++seed) {
    configure("devices=2,seed=" + std::to_string(seed));
    connect(2);
    std::vector<std::unique_ptr<DeviceData<float>>> values;
    std::vector<cudaGraphExec_t> graphs(2);
    on_each([&](int r, const Rank& rank) {
      values.push_back(
          std::make_unique<DeviceData<float>>(*rank.stream, std::vector<float>{static_cast<float>(r + 1)}));
      cudaGraph_t graph = nullptr;
      expect_success(cudaStreamBeginCapture(*rank.stream, cudaStreamCaptureModeThreadLocal));
      expect_settled(rank.comm, ncclAllReduce(values.back()->data(), values.back()->data(), 1, ncclFloat32,
                                              ncclSum, rank.comm, *rank.stream));
      expect_success(cudaStreamEndCapture(*rank.stream, &graph));
      expect_success(cudaGraphInstantiate(&graphs[static_cast<std::size_t>(r)], graph));
      expect_success(cudaGraphDestroy(graph));
    });
    for (int launch = 0; launch < 4; ++launch)
      on_each([&](int r, const Rank& rank) {
        expect_success(cudaGraphLaunch(graphs[static_cast<std::size_t>(r)], *rank.stream));
      });
    wait_for_streams();
    on_each([&](int r, const Rank& rank) {
      EXPECT_EQ(values[static_cast<std::size_t>(r)]->read(*rank.stream).front(), 24);  // 3, 6, 12, 24
      expect_success(cudaGraphExecDestroy(graphs[static_cast<std::size_t>(r)]));
    });
    finish();
  }
}

TEST_F(NcclTest, SendsThatNobodyTakesAreNeverDone) {
  configure("devices=2,seed=3");
  connect(2);
  std::vector<std::unique_ptr<DeviceData<float>>> values;
  // Both send first: without a group, both wait for ever.
  on_each([&](int r, const Rank& rank) {
    values.push_back(std::make_unique<DeviceData<float>>(*rank.stream, std::vector<float>{1, 2}));
    expect_settled(rank.comm,
                   ncclSend(values.back()->data(), 1, ncclFloat32, 1 - r, rank.comm, *rank.stream));
    expect_settled(rank.comm,
                   ncclRecv(values.back()->data() + 1, 1, ncclFloat32, 1 - r, rank.comm, *rank.stream));
  });
  for (int round = 0; round < 1000; ++round)
    for (const auto& rank : ranks) EXPECT_FALSE(idle(*rank.stream));
  // To abort ends what was queued.
  for (const auto& rank : ranks) expect_result(ncclCommAbort(rank.comm));
  wait_for_streams();
  values.clear();
  ranks.clear();
}

TEST_F(NcclTest, AStalledOperationEndsWithItsCommunicator) {
  configure("stall=ncclAllReduce:1");
  connect(1);
  const TestStream& stream = *ranks[0].stream;
  const DeviceData<float> value(stream, {1});
  expect_settled(ranks[0].comm,
                 ncclAllReduce(value.data(), value.data(), 1, ncclFloat32, ncclSum, ranks[0].comm, stream));
  for (int round = 0; round < 100; ++round) EXPECT_FALSE(idle(stream));
  expect_result(ncclCommAbort(ranks[0].comm));
  expect_success(cudaStreamSynchronize(stream));
  ranks.clear();
}

TEST_F(NcclTest, ALostRankIsAnAsynchronousError) {
  configure("devices=3,seed=3");
  connect(3);
  const DeviceData<float> value(*ranks[0].stream, {1});
  expect_settled(ranks[0].comm, ncclAllReduce(value.data(), value.data(), 1, ncclFloat32, ncclSum,
                                              ranks[0].comm, *ranks[0].stream));
  expect_result(ncclCommAbort(ranks[2].comm));
  EXPECT_EQ(settle(ranks[0].comm), ncclRemoteError);
  EXPECT_EQ(settle(ranks[1].comm), ncclRemoteError);
  EXPECT_STREQ(ncclGetLastError(ranks[0].comm), "rank 2 is gone");
  EXPECT_FALSE(idle(*ranks[0].stream));
  EXPECT_EQ(ncclSend(value.data(), 1, ncclFloat32, 1, ranks[0].comm, *ranks[0].stream), ncclRemoteError);
  expect_result(ncclCommAbort(ranks[0].comm));
  expect_result(ncclCommAbort(ranks[1].comm));
  expect_success(cudaStreamSynchronize(*ranks[0].stream));
  ranks.clear();
}

TEST_F(NcclTest, ALostProcessIsAnAsynchronousError) {
  configure("devices=2");
  const auto id = new_id();
  const pid_t child = ::fork();
  if (child == 0) {
    static_cast<void>(cudaSetDevice(1));
    static_cast<void>(settle(begin_communicator(id, 2, 1)));
    ::_exit(0);
  }
  auto* const comm = begin_communicator(id, 2, 0);
  ncclResult_t state = ncclInProgress;
  while (state == ncclSuccess || state == ncclInProgress) expect_result(ncclCommGetAsyncError(comm, &state));
  expect_result(state, ncclRemoteError);
  expect_result(ncclCommAbort(comm));
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
}

TEST_F(NcclTest, BlockingCommunicatorsReturnWhenDone) {
  ncclComm_t comm = nullptr;
  expect_result(ncclCommInitRankConfig(&comm, 1, new_id(), 0, nullptr));
  const TestStream stream;
  const DeviceData<float> value(stream, {3});
  expect_result(ncclAllReduce(value.data(), value.data(), 1, ncclFloat32, ncclSum, comm, stream));
  EXPECT_EQ(value.read(stream).front(), 3);
  expect_result(ncclCommDestroy(comm));  // which finalizes
}

}  // namespace
}  // namespace lockstep::standin
