#pragma once

#include <functional>
#include <memory>
#include <span>

#include "device/backend.h"

namespace lockstep::testing {

/// What a test does while shards are computed on the CPU, on the thread of the runner.
struct Hooks {
  /// Before a shard is trained on.
  std::function<void(const device::ShardInput&)> before;
  /// After it, with its gradient.
  std::function<void(const device::ShardInput&, std::span<float>)> after;
  /// Before a shard is evaluated.
  std::function<void()> evaluating;
  /// Before a piece of the weights is packed.
  std::function<void(std::int64_t piece)> packing;
};

/// The CPU backend, with hooks that may be empty and must outlive it.
std::unique_ptr<device::Backend> make_hooked_backend(const Hooks& hooks);

}  // namespace lockstep::testing
