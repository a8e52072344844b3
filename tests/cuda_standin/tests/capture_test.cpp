#include <thread>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using CaptureDeathTest = StandinTest;

/// Begins a capture that the test spoils, and ends it.
class CaptureTest : public StandinTest {
 protected:
  void begin(cudaStream_t stream, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    expect_success(cudaStreamBeginCapture(stream, mode));
  }
  static cudaError_t end(cudaStream_t stream) {
    cudaGraph_t graph = nullptr;
    const cudaError_t result = cudaStreamEndCapture(stream, &graph);
    EXPECT_EQ(graph != nullptr, result == cudaSuccess);
    if (graph != nullptr) expect_success(cudaGraphDestroy(graph));
    return result;
  }
  static cudaStreamCaptureStatus status(cudaStream_t stream) {
    cudaStreamCaptureStatus result = cudaStreamCaptureStatusNone;
    expect_success(cudaStreamIsCapturing(stream, &result));
    return result;
  }
};

TEST_F(CaptureTest, AStreamSaysWhetherItIsCapturing) {
  const TestStream stream;
  const TestStream joined;
  const TestEvent event;
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusNone);
  begin(stream);
  EXPECT_TRUE(is_capturing(stream));
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusActive);
  EXPECT_EQ(status(joined), cudaStreamCaptureStatusNone);
  expect_success(cudaEventRecord(event, stream));
  expect_success(cudaStreamWaitEvent(joined, event));
  EXPECT_EQ(status(joined), cudaStreamCaptureStatusActive);
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
  EXPECT_EQ(end(stream), cudaSuccess);
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusNone);
  EXPECT_EQ(status(joined), cudaStreamCaptureStatusNone);
  EXPECT_EQ(end(stream), cudaErrorInvalidValue);
}

TEST_F(CaptureTest, WorkThatNobodyWaitsForIsUnjoined) {
  const TestStream stream;
  const TestStream branch;
  const TestEvent event;
  const DeviceInts value(1);
  begin(stream);
  value.clear(stream);
  expect_success(cudaEventRecord(event, stream));
  expect_success(cudaStreamWaitEvent(branch, event));
  append_digit(branch, value.data(), 1);
  expect_success(cudaEventRecord(event, branch));
  expect_success(cudaStreamWaitEvent(stream, event));
  append_digit(branch, value.data(), 2);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureUnjoined);
}

TEST_F(CaptureTest, WhatIsUnsafeSpoilsIt) {
  const TestStream stream;
  const TestStream bystander;
  const TestEvent event;
  const DeviceInts value(1);
  int* block = nullptr;
  expect_success(cudaEventRecord(event, bystander));
  const std::vector<std::function<cudaError_t()>> unsafe = {
      [&] { return cudaMalloc(&block, 4); },
      [&] { return cudaHostAlloc(&block, 4, cudaHostAllocDefault); },
      [&] { return cudaStreamSynchronize(stream); },
      [&] { return cudaStreamQuery(bystander); },
      [&] { return cudaEventQuery(event); },
      [&] { return cudaEventSynchronize(event); },
      [] { return cudaDeviceSynchronize(); },
  };
  for (const auto& call : unsafe) {
    begin(stream);
    value.clear(stream);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(status(stream), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(cudaMemsetAsync(value.data(), 0, 4, stream), cudaErrorStreamCaptureInvalidated);
    append_digit(stream, value.data(), 1);
    EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
    value.clear(stream);
    EXPECT_EQ(value.read(stream).front(), 0);
  }
}

TEST_F(CaptureTest, TheModeSaysWhomItConcerns) {
  const TestStream stream;
  const auto allocate = [](cudaError_t& result) {
    int* block = nullptr;
    result = cudaMalloc(&block, 4);
    if (result == cudaSuccess) expect_success(cudaFree(block));
  };
  struct Case {
    cudaStreamCaptureMode mode;
    cudaError_t own, others;
  };
  for (const Case& one :
       {Case{cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureUnsupported,
             cudaErrorStreamCaptureUnsupported},
        Case{cudaStreamCaptureModeThreadLocal, cudaErrorStreamCaptureUnsupported, cudaSuccess},
        Case{cudaStreamCaptureModeRelaxed, cudaSuccess, cudaSuccess}}) {
    cudaError_t result = cudaSuccess;
    begin(stream, one.mode);
    allocate(result);
    EXPECT_EQ(result, one.own);
    static_cast<void>(end(stream));
    begin(stream, one.mode);
    std::thread([&] { allocate(result); }).join();
    EXPECT_EQ(result, one.others);
    static_cast<void>(end(stream));
  }
}

TEST_F(CaptureTest, ItEndsWhereItBegan) {
  const TestStream stream;
  const TestStream branch;
  const TestEvent event;
  begin(stream);
  expect_success(cudaEventRecord(event, stream));
  expect_success(cudaStreamWaitEvent(branch, event));
  cudaError_t elsewhere = cudaSuccess;
  std::thread([&] { elsewhere = end(stream); }).join();
  EXPECT_EQ(elsewhere, cudaErrorStreamCaptureWrongThread);
  EXPECT_EQ(end(branch), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(CaptureTest, EventsDoNotCrossItsBounds) {
  const TestStream stream;
  const TestStream other;
  const TestEvent outside;
  const TestEvent inside;
  expect_success(cudaEventRecord(outside, other));

  begin(stream);
  EXPECT_EQ(cudaStreamWaitEvent(stream, outside), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);

  begin(stream);
  begin(other);
  expect_success(cudaEventRecord(inside, stream));
  EXPECT_EQ(cudaStreamWaitEvent(other, inside), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(end(other), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(end(stream), cudaErrorStreamCaptureInvalidated);

  begin(stream);
  expect_success(cudaEventRecord(inside, stream));
  EXPECT_EQ(end(stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(inside), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventSynchronize(inside), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamWaitEvent(other, inside), cudaErrorCapturedEvent);
}

TEST_F(CaptureDeathTest, ACapturingStreamIsNotDestroyed) {
  const TestStream stream;
  cudaGraph_t graph = nullptr;
  expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  EXPECT_DEATH(static_cast<void>(cudaStreamDestroy(stream)), "the stream is capturing");
  expect_success(cudaStreamEndCapture(stream, &graph));
  expect_success(cudaGraphDestroy(graph));
}

}  // namespace
}  // namespace lockstep::standin
