#include <map>
#include <set>
#include <string>
#include <thread>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using OrderTest = StandinTest;
using OrderDeathTest = StandinTest;

void use_seed(int seed) {
  configure("seed=" + std::to_string(seed));
}

TEST_F(OrderTest, AStreamIsAQueue) {
  for (int seed = 0; seed < 200; ++seed) {
    use_seed(seed);
    const TestStream stream;
    const DeviceInts value(1);
    value.clear(stream);
    for (int digit = 1; digit <= 8; ++digit) append_digit(stream, value.data(), digit);
    EXPECT_EQ(value.read(stream).front(), 12345678);
  }
}

/// Three streams append to one number: 1 and 4, 2 and 5, 3.
int race() {
  const TestStream streams[3];
  const DeviceInts value(1);
  value.clear(streams[0]);
  expect_success(cudaStreamSynchronize(streams[0]));
  for (int digit = 1; digit <= 5; ++digit) append_digit(streams[(digit - 1) % 3], value.data(), digit);
  for (const TestStream& stream : streams) expect_success(cudaStreamSynchronize(stream));
  return value.read(streams[0]).front();
}

TEST_F(OrderTest, StreamsRunInEveryOrder) {
  std::set<int> seen;
  for (int seed = 0; seed < 2000; ++seed) {
    use_seed(seed);
    const int result = race();
    const std::string digits = std::to_string(result);
    ASSERT_EQ(digits.size(), 5U);
    EXPECT_LT(digits.find('1'), digits.find('4')) << digits;
    EXPECT_LT(digits.find('2'), digits.find('5')) << digits;
    seen.insert(result);
  }
  EXPECT_EQ(seen.size(), 30U);  // 5! / 2^2
}

TEST_F(OrderTest, TheSeedDecides) {
  for (int seed = 0; seed < 20; ++seed) {
    use_seed(seed);
    const int first = race();
    use_seed(seed);
    EXPECT_EQ(race(), first);
  }
}

TEST_F(OrderTest, WorkStartsBeforeOrWhenItHasTo) {
  std::map<std::int64_t, int> started;  // how many of three operations ran while they were queued
  for (int seed = 0; seed < 300; ++seed) {
    use_seed(seed);
    const TestStream stream;
    const DeviceInts value(1);
    for (int i = 0; i < 3; ++i) value.clear(stream);
    ++started[calls("operation")];
    if (seed == 0) {
      EXPECT_EQ(calls("operation"), 0);
    }
    expect_success(cudaStreamSynchronize(stream));
    EXPECT_EQ(calls("operation"), 3);
  }
  for (int ran = 0; ran < 3; ++ran) EXPECT_GT(started[ran], 0) << ran;
}

TEST_F(OrderTest, SynchronizingAStreamNeedNotRunOthers) {
  configure("seed=0");
  const TestStream a;
  const TestStream b;
  const DeviceInts value(2);
  append_digit(a, value.data(), 1);
  append_digit(b, value.data() + 1, 1);
  expect_success(cudaStreamSynchronize(b));
  EXPECT_EQ(calls("operation"), 1);
  expect_success(cudaDeviceSynchronize());
  EXPECT_EQ(calls("operation"), 2);
}

TEST_F(OrderTest, AskingOftenEnoughGetsThere) {
  for (int seed = 0; seed < 50; ++seed) {
    use_seed(seed);
    const TestStream stream;
    const DeviceInts value(1);
    for (int i = 0; i < 10; ++i) value.clear(stream);
    int asked = 1;
    for (; cudaStreamQuery(stream) == cudaErrorNotReady; ++asked) {
      EXPECT_EQ(cudaPeekAtLastError(), cudaErrorNotReady);  // as the real runtime does, which can be a trap
    }
    EXPECT_LE(asked, 11);
    expect_success(cudaStreamQuery(stream));
    static_cast<void>(cudaGetLastError());
  }
}

TEST_F(OrderTest, WhatWaitsForOthersKeepsNobodyElse) {
  for (int seed = 0; seed < 50; ++seed) {
    use_seed(seed);
    const TestStream waiting;
    const TestStream other;
    const DeviceInts value(1);
    int asked = 0;
    bool ready = false;
    value.clear(waiting);
    enqueue_pollable(waiting, "poll", {}, [&] {
      ++asked;
      return ready;
    });
    append_digit(waiting, value.data(), 7);
    append_digit(other, value.data(), 1);
    expect_success(cudaStreamSynchronize(other));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(cudaStreamQuery(waiting), cudaErrorNotReady);
    EXPECT_GT(asked, 0);
    ready = true;
    EXPECT_EQ(value.read(waiting).front() % 10, 7);
    static_cast<void>(cudaGetLastError());
  }
}

TEST_F(OrderTest, WhoWaitsLetsOtherThreadsCall) {
  const TestStream stream;
  bool ready = false;
  enqueue_pollable(stream, "poll", {}, [&] { return ready; });
  std::thread waiting([&] { expect_success(cudaStreamSynchronize(stream)); });
  const DeviceInts value(1);
  while (calls("cudaStreamSynchronize") == 0) std::this_thread::yield();
  {
    const auto lock = enter();
    ready = true;
  }
  waiting.join();
  EXPECT_EQ(pending_operations(), 0);
}

TEST_F(OrderTest, ADestroyedStreamsWorkIsDone) {
  configure("seed=0");
  const DeviceInts value(1);
  cudaStream_t stream = nullptr;
  expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  value.clear(stream);
  expect_success(cudaStreamDestroy(stream));
  EXPECT_EQ(pending_operations(), 1);
  expect_success(cudaDeviceSynchronize());
  const TestStream reader;
  EXPECT_EQ(value.read(reader).front(), 0);
}

TEST_F(OrderDeathTest, TheDefaultStreamIsNotForUs) {
  const DeviceInts value(1);
  EXPECT_DEATH(append_digit(nullptr, value.data(), 1), "default stream");
  EXPECT_DEATH(static_cast<void>(cudaMemsetAsync(value.data(), 0, 4, nullptr)), "default stream");
}

TEST_F(OrderDeathTest, AStreamIsUsedWhileItLivesAndItsDeviceIsCurrent) {
  const DeviceInts value(1);
  cudaStream_t stream = nullptr;
  expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  expect_success(cudaSetDevice(1));
  EXPECT_DEATH(append_digit(stream, value.data(), 1), "stream is of device 0, the current device is 1");
  expect_success(cudaSetDevice(0));
  expect_success(cudaStreamDestroy(stream));
  EXPECT_DEATH(static_cast<void>(cudaStreamSynchronize(stream)), "not a live cudaStream_t");
}

}  // namespace
}  // namespace lockstep::standin
