#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "base/check.h"

/// Memory and queues of a device with a clock of its own (accelerator.h).
///
/// Addresses of device memory are plain pointers, in a DeviceSpan so that nobody takes them for the host's:
/// the host must not follow them. Queued work uses what it was given until it is done, so that must stay.
/// Everything throws Error(internal) that names the call and the device when the device or its library fails,
/// which may be found out later than where it happened.
namespace lockstep::device {

template <class T>
struct DeviceSpan {
  T* data = nullptr;
  std::int64_t count = 0;

  DeviceSpan() = default;
  DeviceSpan(T* first, std::int64_t size) : data(first), count(size) {}
  /// Of a span to change one to read.
  template <class U>
    requires(!std::is_same_v<T, U> && std::is_same_v<T, const U>)
  DeviceSpan(const DeviceSpan<U>& other) : data(other.data), count(other.count) {}  // NOLINT(*-explicit-*)

  [[nodiscard]] DeviceSpan subspan(std::int64_t first, std::int64_t size) const {
    check(first >= 0 && size >= 0 && first + size <= count, "a part of device memory lies within it");
    return {data + first, size};
  }
  [[nodiscard]] std::int64_t bytes() const { return count * static_cast<std::int64_t>(sizeof(T)); }
};

/// Owned memory, of the device or page-locked memory of the host; aligned to 256 bytes at least, contents
/// unspecified. Destroy it when no queued work uses it any more.
class Memory {
 public:
  static constexpr std::size_t alignment = 256;

  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 protected:
  Memory(std::byte* data, std::int64_t bytes) : data_(data), bytes_(bytes) {}

 private:
  std::byte* data_;
  std::int64_t bytes_;
};

/// A device's memory as an array. Empty until assigned.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::unique_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] DeviceSpan<T> span() const {
    if (!memory_) return {};
    return {reinterpret_cast<T*>(memory_->data()), memory_->bytes() / static_cast<std::int64_t>(sizeof(T))};
  }

 private:
  std::unique_ptr<Memory> memory_;
};

/// Page-locked memory of the host: the only host memory that streams copy from and to.
template <class T>
class PinnedArray {
 public:
  PinnedArray() = default;
  explicit PinnedArray(std::unique_ptr<Memory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] std::span<T> span() const {
    if (!memory_) return {};
    return {reinterpret_cast<T*>(memory_->data()), static_cast<std::size_t>(memory_->bytes()) / sizeof(T)};
  }

 private:
  std::unique_ptr<Memory> memory_;
};

class Stream;

/// Work recorded once, to be queued as a whole. What it reads and writes must outlive it. Destroy it when no
/// launch of it is under way.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch(Stream& stream) = 0;
};

/// Work of a device for whose end the host may wait.
class Awaitable {
 public:
  virtual ~Awaitable() = default;
  Awaitable(const Awaitable&) = delete;
  Awaitable& operator=(const Awaitable&) = delete;

  /// Whether all of it is done. Reports failures of what was queued.
  [[nodiscard]] virtual bool idle() = 0;
  /// Returns when all of it is done.
  virtual void synchronize() = 0;

 protected:
  Awaitable() = default;
};

/// What a stream was given until set() was called last; nothing before that.
class Milestone : public Awaitable {
 public:
  /// Not to be captured.
  virtual void set() = 0;
};

/// A queue of the device: what is queued on it happens in order, and side by side with other streams' work
/// unless one waits for the other. Used by one thread at a time.
class Stream : public Awaitable {
 public:
  /// Copies between page-locked host memory (PinnedArray) and the device, or within the device.
  virtual void copy_in(void* device, const void* pinned, std::int64_t bytes) = 0;
  virtual void copy_out(void* pinned, const void* device, std::int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;
  /// Writes zeros.
  virtual void clear(void* device, std::int64_t bytes) = 0;

  /// What is queued here from now on happens after what `other` has been given until now.
  virtual void wait_for(Stream& other) = 0;
  /// Records what `work` queues, on this stream and on streams that it makes wait for this one and that this
  /// one waits for again in the end, instead of doing it. `work` neither waits nor allocates.
  [[nodiscard]] virtual std::unique_ptr<Graph> capture(const std::function<void()>& work) = 0;
  /// The stream must outlive it.
  [[nodiscard]] virtual std::unique_ptr<Milestone> make_milestone() = 0;
};

/// Waits for a stream at the end of its life: after a failure work may still be queued that uses the memory
/// of those that were made before this.
class Drain {
 public:
  explicit Drain(Stream& stream) : stream_(stream) {}
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain() {
    try {
      stream_.synchronize();
    } catch (const std::exception&) {
      return;  // the failure has been reported
    }
  }

 private:
  Stream& stream_;
};

template <class T>
void copy_in(Stream& stream, DeviceSpan<T> to, std::span<const std::type_identity_t<T>> pinned) {
  check(std::ssize(pinned) == to.count, "a copy has as many elements as its target");
  stream.copy_in(to.data, pinned.data(), to.bytes());
}
template <class T>
void copy_out(Stream& stream, std::span<T> pinned, DeviceSpan<const std::type_identity_t<T>> from) {
  check(std::ssize(pinned) == from.count, "a copy has as many elements as its target");
  stream.copy_out(pinned.data(), from.data, from.bytes());
}
template <class T>
void copy(Stream& stream, DeviceSpan<T> to, DeviceSpan<const std::type_identity_t<T>> from) {
  check(to.count == from.count, "a copy has as many elements as its target");
  stream.copy(to.data, from.data, to.bytes());
}

}  // namespace lockstep::device
