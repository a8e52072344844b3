#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"

/// What Lockstep's reduction must give, as plainly as it can be said, and inputs to try it on.
namespace lockstep::comm::testing {

/// A shard's gradient sum at an index: a pure function, with numbers of all sizes side by side, denormals,
/// zeros of both signs, infinities and NaN, so that any other order of additions gives other bits. A shard
/// in seven has no samples: all of it is +0.
float gradient(std::uint64_t seed, std::int64_t shard, std::int64_t index);

void fill_gradient(std::uint64_t seed, std::int64_t shard, std::span<float> slab);

/// The mean gradient: all shards' gradients, added pair by pair, then divided.
std::vector<float> reference_mean(std::uint64_t seed, std::int64_t shards, std::int64_t size, float samples);

/// Index of the first number whose bits differ, or -1. All NaN are alike: which one an addition of two gives
/// is left open.
std::int64_t first_difference(std::span<const float> a, std::span<const float> b);

}  // namespace lockstep::comm::testing
