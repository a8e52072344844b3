#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <span>
#include <vector>

#include "cuda_standin/control.h"
#include "cuda_standin/include/launch_impl.h"
#include "cuda_standin/runtime.h"

namespace lockstep::standin {

inline void expect_success(cudaError_t error) {
  EXPECT_EQ(error, cudaSuccess) << cudaGetErrorName(error);
}

/// Begins with what is set by default, and ends with nothing left over.
class StandinTest : public ::testing::Test {
 protected:
  void SetUp() override { configure(""); }
  void TearDown() override {
    EXPECT_EQ(pending_operations(), 0);
    EXPECT_TRUE(live_handles().empty()) << live_handles().begin()->first;
    configure("");
    static_cast<void>(cudaGetLastError());
    static_cast<void>(cudaSetDevice(0));
  }
};

/// Waits for its work before it goes.
class TestStream {
 public:
  TestStream() { expect_success(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~TestStream() {
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaStreamDestroy(stream_));
  }
  TestStream(const TestStream&) = delete;
  TestStream& operator=(const TestStream&) = delete;
  operator cudaStream_t() const { return stream_; }  // NOLINT(*-explicit-*)

 private:
  cudaStream_t stream_ = nullptr;
};

class TestEvent {
 public:
  explicit TestEvent(unsigned flags = cudaEventDisableTiming) {
    expect_success(cudaEventCreateWithFlags(&event_, flags));
  }
  ~TestEvent() { static_cast<void>(cudaEventDestroy(event_)); }
  TestEvent(const TestEvent&) = delete;
  TestEvent& operator=(const TestEvent&) = delete;
  operator cudaEvent_t() const { return event_; }  // NOLINT(*-explicit-*)

 private:
  cudaEvent_t event_ = nullptr;
};

/// Waits for the device before it goes.
class DeviceInts {
 public:
  explicit DeviceInts(std::size_t count) : count_(count) {
    expect_success(cudaMalloc(&data_, count * sizeof(int)));
  }
  ~DeviceInts() {
    static_cast<void>(cudaDeviceSynchronize());
    static_cast<void>(cudaFree(data_));
  }
  DeviceInts(const DeviceInts&) = delete;
  DeviceInts& operator=(const DeviceInts&) = delete;
  [[nodiscard]] int* data() const { return data_; }

  void clear(cudaStream_t stream) const {
    expect_success(cudaMemsetAsync(data_, 0, count_ * sizeof(int), stream));
  }
  /// Waits for the stream.
  [[nodiscard]] std::vector<int> read(cudaStream_t stream) const {
    int* pinned = nullptr;
    expect_success(cudaHostAlloc(&pinned, count_ * sizeof(int), cudaHostAllocDefault));
    expect_success(cudaMemcpyAsync(pinned, data_, count_ * sizeof(int), cudaMemcpyDeviceToHost, stream));
    expect_success(cudaStreamSynchronize(stream));
    std::vector<int> values(pinned, pinned + count_);
    expect_success(cudaFreeHost(pinned));
    return values;
  }

 private:
  std::size_t count_;
  int* data_ = nullptr;
};

/// value = 10 * value + digit: shows in which order digits were appended.
struct AppendDigit {
  int* value;
  int digit;
  void operator()(std::int64_t /*i*/) const { *value = 10 * *value + digit; }
};

inline void append_digit(cudaStream_t stream, int* value, int digit) {
  device::cuda::impl::launch_n(stream, 1, AppendDigit{value, digit});
}

/// to = from, at once when it runs.
struct CopyOne {
  const int* from;
  int* to;
  void operator()(std::int64_t /*i*/) const { *to = *from; }
};

inline void copy_one(cudaStream_t stream, const int* from, int* to) {
  device::cuda::impl::launch_n(stream, 1, CopyOne{from, to});
}

}  // namespace lockstep::standin
