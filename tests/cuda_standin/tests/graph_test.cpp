#include <set>
#include <string>
#include <vector>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using GraphTest = StandinTest;
using GraphDeathTest = StandinTest;

/// What `record` queues on the stream and streams that it makes follow.
template <class F>
cudaGraphExec_t capture(cudaStream_t stream, const F& record) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  record();
  expect_success(cudaStreamEndCapture(stream, &graph));
  expect_success(cudaGraphInstantiate(&executable, graph));
  expect_success(cudaGraphDestroy(graph));
  return executable;
}

TEST_F(GraphTest, RecordsNowAndRunsAtEachLaunch) {
  for (int seed = 0; seed < 50; ++seed) {
    configure("seed=" + std::to_string(seed));
    const TestStream stream;
    const TestStream other;
    const DeviceInts value(1);
    value.clear(stream);
    expect_success(cudaStreamSynchronize(stream));
    cudaGraphExec_t graph = capture(stream, [&] {
      append_digit(stream, value.data(), 1);
      append_digit(stream, value.data(), 2);
    });
    EXPECT_EQ(value.read(stream).front(), 0);
    append_digit(stream, value.data(), 9);
    expect_success(cudaGraphLaunch(graph, stream));
    append_digit(stream, value.data(), 8);
    expect_success(cudaGraphLaunch(graph, stream));
    EXPECT_EQ(value.read(stream).front(), 912812);
    expect_success(cudaGraphLaunch(graph, other));
    expect_success(cudaStreamSynchronize(other));
    EXPECT_EQ(value.read(stream).front(), 91281212);
    expect_success(cudaGraphExecDestroy(graph));
  }
}

TEST_F(GraphTest, BranchesRunSideBySideBetweenForkAndJoin) {
  std::set<int> seen;
  for (int seed = 0; seed < 300; ++seed) {
    configure("seed=" + std::to_string(seed));
    const TestStream stream;
    const TestStream branch;
    const TestEvent fork;
    const TestEvent join;
    const DeviceInts value(1);
    cudaGraphExec_t graph = capture(stream, [&] {
      value.clear(stream);
      append_digit(stream, value.data(), 1);
      expect_success(cudaEventRecord(fork, stream));
      expect_success(cudaStreamWaitEvent(branch, fork));
      append_digit(branch, value.data(), 2);
      append_digit(branch, value.data(), 3);
      append_digit(stream, value.data(), 4);
      expect_success(cudaEventRecord(join, branch));
      expect_success(cudaStreamWaitEvent(stream, join));
      append_digit(stream, value.data(), 5);
    });
    for (int launch = 0; launch < 2; ++launch) {
      expect_success(cudaGraphLaunch(graph, stream));
      seen.insert(value.read(stream).front());
    }
    // The branch is an ordinary stream again.
    append_digit(branch, value.data(), 6);
    EXPECT_EQ(value.read(branch).front() % 10, 6);
    expect_success(cudaGraphExecDestroy(graph));
  }
  EXPECT_EQ(seen, (std::set<int>{12345, 12435, 14235}));
}

TEST_F(GraphTest, LaunchesOfOneGraphNeverOverlap) {
  for (int seed = 0; seed < 100; ++seed) {
    configure("seed=" + std::to_string(seed));
    const TestStream a;
    const TestStream b;
    const DeviceInts value(1);
    value.clear(a);
    expect_success(cudaStreamSynchronize(a));
    cudaGraphExec_t graph = capture(a, [&] {
      append_digit(a, value.data(), 1);
      append_digit(a, value.data(), 2);
    });
    expect_success(cudaGraphLaunch(graph, a));
    expect_success(cudaGraphLaunch(graph, b));
    expect_success(cudaStreamSynchronize(a));
    EXPECT_EQ(value.read(b).front(), 1212);
    expect_success(cudaGraphExecDestroy(graph));
  }
}

TEST_F(GraphTest, PollableWorkStartsAfreshAtEachLaunch) {
  const TestStream stream;
  int finished = 0;
  cudaGraphExec_t graph = capture(stream, [&] {
    enqueue_pollable(stream, "poll", {}, [&finished, asked = 0]() mutable {
      if (++asked < 3) return false;
      EXPECT_EQ(asked, 3);
      ++finished;
      return true;
    });
  });
  for (int launch = 1; launch <= 3; ++launch) {
    expect_success(cudaGraphLaunch(graph, stream));
    expect_success(cudaStreamSynchronize(stream));
    EXPECT_EQ(finished, launch);
  }
  expect_success(cudaGraphExecDestroy(graph));
}

TEST_F(GraphTest, AnEmptyGraphCanBeLaunched) {
  const TestStream stream;
  cudaGraphExec_t graph = capture(stream, [] {});
  expect_success(cudaGraphLaunch(graph, stream));
  expect_success(cudaStreamSynchronize(stream));
  expect_success(cudaGraphExecDestroy(graph));
}

TEST_F(GraphDeathTest, AGraphStaysUntilItIsDone) {
  configure("seed=0");
  const TestStream stream;
  const DeviceInts value(1);
  cudaGraphExec_t graph = capture(stream, [&] { value.clear(stream); });
  expect_success(cudaGraphLaunch(graph, stream));
  EXPECT_DEATH(static_cast<void>(cudaGraphExecDestroy(graph)), "a launch of the graph is not done");
  expect_success(cudaStreamSynchronize(stream));
  expect_success(cudaGraphExecDestroy(graph));
}

TEST_F(GraphDeathTest, AGraphsMemoryStaysAsLongAsItIsLaunched) {
  const TestStream stream;
  int* block = nullptr;
  expect_success(cudaMalloc(&block, 4));
  cudaGraphExec_t graph = capture(stream, [&] { expect_success(cudaMemsetAsync(block, 0, 4, stream)); });
  expect_success(cudaFree(block));
  EXPECT_DEATH(
      {
        static_cast<void>(cudaGraphLaunch(graph, stream));
        static_cast<void>(cudaStreamSynchronize(stream));
      },
      "when cudaMemsetAsync ran: 4 bytes at .* not within one live block");
  expect_success(cudaGraphExecDestroy(graph));
}

}  // namespace
}  // namespace lockstep::standin
