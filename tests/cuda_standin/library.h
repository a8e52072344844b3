#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "objects.h"
#include "runtime.h"

/// What the stand-ins for libraries have in common.
namespace lockstep::standin {

[[nodiscard]] inline bool overlap(const Access& a, const Access& b) {
  const auto begin = [](const Access& access) { return static_cast<const std::byte*>(access.address); };
  const std::less<> less;
  return a.bytes > 0 && b.bytes > 0 && less(begin(a), begin(b) + b.bytes) &&
         less(begin(b), begin(a) + a.bytes);
}

/// A library's handle serves the device that was current when it was made: that device must be current again.
inline void check_device(int device, std::string_view call) {
  if (current_device() != device)
    violation(std::string(call) + ": the handle was made for another device than the current one");
}

/// A stream that is given to a library's handle.
inline void check_stream_of(int device, cudaStream_t stream, std::string_view call) {
  check_stream(stream, call);
  if (stream_device(stream) != device)
    violation(std::string(call) + ": the stream is another device's than the handle");
}

}  // namespace lockstep::standin
