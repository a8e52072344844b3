#pragma once

#include <cstdint>

#include "base/error.h"
#include "device/network.h"

namespace lockstep::device::cuda {

/// Throws `error` with the layer and its shapes in front, unless it names the layer already.
[[noreturn]] void fail_layer(const Node& node, std::int64_t samples, const Error& error);

/// Calls `f`; an Error in it is reported by fail_layer.
template <class F>
void with_layer(const Node& node, std::int64_t samples, const F& f) {
  try {
    f();
  } catch (const Error& error) {
    fail_layer(node, samples, error);
  }
}

}  // namespace lockstep::device::cuda
