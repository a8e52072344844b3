#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/check.h"
#include "device/accelerator.h"

namespace lockstep::train {

/// What a device tells the host of a step: arrays of several types, in device memory and page-locked memory
/// alike, that travel in one copy, as each copy costs microseconds of its own. First all are added, then the
/// memory is made. The host has room for two reports, so that one may travel while the other is read.
class DeviceReport {
 public:
  template <class T>
  struct Part {
    std::int64_t first_byte = 0;
    std::int64_t count = 0;
  };

  template <class T>
  Part<T> add(std::int64_t count) {
    check(device_.span().count == 0, "arrays are added before there is memory");
    const Part<T> part{bytes_, count};
    const std::int64_t end = bytes_ + count * static_cast<std::int64_t>(sizeof(T));
    bytes_ = (end + alignment - 1) / alignment * alignment;
    return part;
  }

  /// Zeros, once the stream has come so far, which must be before anything else uses it.
  void allocate(device::Accelerator& accelerator, device::Stream& stream) {
    device_ = accelerator.make_array<std::byte>(bytes_);
    host_ = accelerator.make_pinned<std::byte>(2 * bytes_);
    stream.clear(device_.span().data, bytes_);
    for (const std::size_t room : {0, 1}) queue_copy(stream, room);
  }

  template <class T>
  [[nodiscard]] device::DeviceSpan<T> on_device(Part<T> part) const {
    return {reinterpret_cast<T*>(device_.span().data + part.first_byte), part.count};
  }
  /// As of the last copy that is done into the room that is read.
  template <class T>
  [[nodiscard]] std::span<T> on_host(Part<T> part) const {
    return {reinterpret_cast<T*>(room(read_).data() + part.first_byte), static_cast<std::size_t>(part.count)};
  }

  /// Into one of the two rooms, or the one that is read.
  void queue_copy(device::Stream& stream, std::size_t into) const {
    device::copy_out<std::byte>(stream, room(into), device_.span());
  }
  void queue_copy(device::Stream& stream) const { queue_copy(stream, read_); }
  /// From now on.
  void read(std::size_t room) { read_ = room; }

 private:
  static constexpr std::int64_t alignment = alignof(std::max_align_t);

  [[nodiscard]] std::span<std::byte> room(std::size_t number) const {
    const auto bytes = static_cast<std::size_t>(bytes_);
    return host_.span().subspan(number * bytes, bytes);
  }

  std::int64_t bytes_ = 0;
  std::size_t read_ = 0;  // room
  device::DeviceArray<std::byte> device_;
  device::PinnedArray<std::byte> host_;
};

}  // namespace lockstep::train
