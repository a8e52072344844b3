#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {

/// Device memory that a test fills and looks at.
template <class T>
class DeviceData {
 public:
  explicit DeviceData(std::size_t count) : count_(count) {
    expect_success(cudaMalloc(&data_, std::max<std::size_t>(1, count) * sizeof(T)));
  }
  DeviceData(cudaStream_t stream, const std::vector<T>& values) : DeviceData(values.size()) {
    write(stream, values);
  }
  ~DeviceData() {
    static_cast<void>(cudaDeviceSynchronize());  // what is queued may still use it
    static_cast<void>(cudaFree(data_));
  }
  DeviceData(const DeviceData&) = delete;
  DeviceData& operator=(const DeviceData&) = delete;

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return count_ * sizeof(T); }

  /// Both wait for the stream.
  void write(cudaStream_t stream, const std::vector<T>& values) const {
    const Pinned pinned(count_);
    std::copy(values.begin(), values.end(), pinned.data);
    expect_success(cudaMemcpyAsync(data_, pinned.data, bytes(), cudaMemcpyHostToDevice, stream));
    expect_success(cudaStreamSynchronize(stream));
  }
  [[nodiscard]] std::vector<T> read(cudaStream_t stream) const {
    const Pinned pinned(count_);
    expect_success(cudaMemcpyAsync(pinned.data, data_, bytes(), cudaMemcpyDeviceToHost, stream));
    expect_success(cudaStreamSynchronize(stream));
    return {pinned.data, pinned.data + count_};
  }

 private:
  struct Pinned {
    explicit Pinned(std::size_t count) {
      expect_success(cudaHostAlloc(&data, std::max<std::size_t>(1, count) * sizeof(T), cudaHostAllocDefault));
    }
    ~Pinned() { static_cast<void>(cudaFreeHost(data)); }
    Pinned(const Pinned&) = delete;
    Pinned& operator=(const Pinned&) = delete;
    T* data = nullptr;
  };

  std::size_t count_;
  T* data_ = nullptr;
};

}  // namespace lockstep::standin
