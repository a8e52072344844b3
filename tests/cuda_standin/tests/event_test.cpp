#include <set>
#include <string>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using EventTest = StandinTest;
using EventDeathTest = StandinTest;

void use_seed(int seed) {
  configure("seed=" + std::to_string(seed));
}

TEST_F(EventTest, AWaitOrdersStreams) {
  std::set<int> without;
  for (int seed = 0; seed < 200; ++seed) {
    for (const bool wait : {true, false}) {
      use_seed(seed);
      const TestStream a;
      const TestStream b;
      const TestEvent event;
      const DeviceInts value(1);
      value.clear(a);
      append_digit(a, value.data(), 1);
      expect_success(cudaEventRecord(event, a));
      if (wait) expect_success(cudaStreamWaitEvent(b, event));
      append_digit(b, value.data(), 2);
      expect_success(cudaStreamSynchronize(a));
      const int result = value.read(b).front();
      if (wait) {
        EXPECT_EQ(result, 12);
      } else {
        without.insert(result);
      }
    }
  }
  EXPECT_TRUE(without.contains(1)) << "a lost update never showed";
}

TEST_F(EventTest, AWaitIsForTheLastRecordBeforeIt) {
  std::set<int> seen;
  for (int seed = 0; seed < 200; ++seed) {
    use_seed(seed);
    const TestStream a;
    const TestStream b;
    const TestEvent event;
    const DeviceInts value(2);
    value.clear(a);
    expect_success(cudaEventRecord(event, a));
    append_digit(a, value.data(), 1);
    expect_success(cudaEventRecord(event, a));
    expect_success(cudaStreamWaitEvent(b, event));
    append_digit(a, value.data(), 2);
    expect_success(cudaEventRecord(event, a));
    copy_one(b, value.data(), value.data() + 1);
    expect_success(cudaStreamSynchronize(a));
    seen.insert(value.read(b)[1]);
  }
  EXPECT_EQ(seen, (std::set<int>{1, 12}));
}

TEST_F(EventTest, AnEventNeverRecordedHoldsNobody) {
  configure("seed=0");
  const TestStream a;
  const TestStream b;
  const TestEvent event;
  const DeviceInts value(1);
  value.clear(a);
  expect_success(cudaStreamWaitEvent(b, event));
  expect_success(cudaStreamSynchronize(b));
  EXPECT_EQ(calls("operation"), 0);
  expect_success(cudaEventQuery(event));
  expect_success(cudaEventSynchronize(event));
}

TEST_F(EventTest, SynchronizingDoesWhatIsBeforeAndNoMore) {
  configure("seed=0");
  const TestStream stream;
  const TestEvent event;
  const DeviceInts value(1);
  value.clear(stream);
  expect_success(cudaEventRecord(event, stream));
  value.clear(stream);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  expect_success(cudaEventSynchronize(event));
  EXPECT_EQ(calls("operation"), 1);
  expect_success(cudaEventQuery(event));
}

TEST_F(EventTest, AWaitOutlivesItsEvent) {
  configure("seed=0");
  const TestStream a;
  const TestStream b;
  const DeviceInts value(1);
  value.clear(a);
  {
    const TestEvent event;
    expect_success(cudaEventRecord(event, a));
    expect_success(cudaStreamWaitEvent(b, event));
  }
  append_digit(b, value.data(), 3);
  EXPECT_EQ(value.read(b).front(), 3);
}

TEST_F(EventTest, TimesAreOfWhenTheyWereReached) {
  const TestStream stream;
  const TestEvent start(cudaEventDefault);
  const TestEvent end(cudaEventDefault);
  const TestEvent untimed;
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  expect_success(cudaEventRecord(start, stream));
  expect_success(cudaEventRecord(untimed, stream));
  expect_success(cudaEventRecord(end, stream));
  expect_success(cudaStreamSynchronize(stream));
  expect_success(cudaEventElapsedTime(&milliseconds, start, end));
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, start, untimed), cudaErrorInvalidResourceHandle);
}

TEST_F(EventDeathTest, AnEventIsRecordedOnItsDevice) {
  const TestEvent event;
  expect_success(cudaSetDevice(1));
  const TestStream stream;
  EXPECT_DEATH(static_cast<void>(cudaEventRecord(event, stream)), "different devices");
}

}  // namespace
}  // namespace lockstep::standin
