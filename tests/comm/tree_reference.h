#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/partition.h"

/// What Lockstep's reduction must give, as plainly as it can be said, and inputs to try it on.
namespace lockstep::comm::testing {

/// A step. All its numbers are pure functions of this.
struct Step {
  std::uint64_t seed = 0;
  std::int64_t samples = 1;
  std::int64_t shards = 1;
};

/// A sample's gradient at an index. Numbers of one kind stand at each index, so that every order of additions
/// shows somewhere: of many sizes, denormals and what rounds to them, zeros of both signs, 1e30 beside 1e-30,
/// sums that overflow, and now and then an infinity or NaN.
float gradient(std::uint64_t seed, std::int64_t sample, std::int64_t index);
double loss(std::uint64_t seed, std::int64_t sample);

/// A shard's part of the step, as a plan would give it (rules 1 to 3 of src/comm/README.md).
void fill_gradient(const Step& step, std::int64_t shard, std::span<float> slab);
double shard_loss(const Step& step, std::int64_t shard);

/// A part of the mean gradient, and the sum of the losses, by all rules of src/comm/README.md. Up to 64
/// shards.
std::vector<float> reference_mean(const Step& step, Range indices);
double reference_loss(const Step& step);

/// Index of the first number whose bits differ, or -1. All NaN are alike: which one an addition of two gives
/// is left open.
std::int64_t first_difference(std::span<const float> a, std::span<const float> b);

}  // namespace lockstep::comm::testing
