#include "tree_reference.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace lockstep::comm::testing {
namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

float gradient(std::uint64_t seed, std::int64_t shard, std::int64_t index) {
  const std::uint64_t shard_bits = mix(seed * 0x9e3779b97f4a7c15U + static_cast<std::uint64_t>(shard) + 1);
  if (shard_bits % 7 == 0) return 0.0F;
  const std::uint64_t bits = mix(shard_bits + static_cast<std::uint64_t>(index) * 0x9e3779b97f4a7c15U);
  const float sign = (bits & 1) != 0 ? -1.0F : 1.0F;
  const float unit = static_cast<float>(bits >> 40) * 0x1p-24F;  // [0, 1)
  switch ((bits >> 1) % 64) {
    case 0:
      return sign * 1e30F * unit;
    case 1:
      return sign * 1e-30F * unit;
    case 2:
      return sign * 0.0F;
    case 3:
      return sign * std::numeric_limits<float>::denorm_min() * std::floor(unit * 1000);
    case 4:  // rarely: an infinity or NaN makes the whole sum one
      return (bits >> 7) % 64 == 0 ? sign * std::numeric_limits<float>::infinity() : sign * 1e35F;
    case 5:
      return (bits >> 7) % 256 == 0 ? std::numeric_limits<float>::quiet_NaN() : -sign * 1e-38F * unit;
    default:
      return sign * unit;
  }
}

void fill_gradient(std::uint64_t seed, std::int64_t shard, std::span<float> slab) {
  for (std::int64_t i = 0; i < std::ssize(slab); ++i)
    slab[static_cast<std::size_t>(i)] = gradient(seed, shard, i);
}

std::vector<float> reference_mean(std::uint64_t seed, std::int64_t shards, std::int64_t size, float samples) {
  std::vector<std::vector<float>> sums;
  for (std::int64_t shard = 0; shard < shards; ++shard)
    fill_gradient(seed, shard, sums.emplace_back(static_cast<std::size_t>(size)));
  while (sums.size() > 1) {
    std::vector<std::vector<float>> next;
    for (std::size_t pair = 0; pair < sums.size(); pair += 2) {
      std::vector<float>& sum = next.emplace_back(static_cast<std::size_t>(size));
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = sums[pair][i] + sums[pair + 1][i];
    }
    sums = std::move(next);
  }
  for (float& value : sums.front()) value /= samples;
  return sums.front();
}

std::int64_t first_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return static_cast<std::int64_t>(std::min(a.size(), b.size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (!both_nan && std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i]))
      return static_cast<std::int64_t>(i);
  }
  return -1;
}

}  // namespace lockstep::comm::testing
