#pragma once

#include <cstdint>
#include <dnnl.hpp>

#include "device/network.h"

namespace lockstep::device::cpu {

/// Throws Error(internal) that names the layer, its shapes and what oneDNN said.
[[noreturn]] void fail_layer(const Node& node, std::int64_t samples, const dnnl::error& error);

/// Calls `f`; a failure of oneDNN in it is reported by fail_layer.
template <class F>
decltype(auto) with_layer(const Node& node, std::int64_t samples, F&& f) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    fail_layer(node, samples, error);
  }
}

}  // namespace lockstep::device::cpu
