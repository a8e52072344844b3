#include "tree_reference.h"

#include <algorithm>
#include <array>
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

/// A number in (-1, 1), never 0.
template <class T>
T unit(std::uint64_t bits) {
  const T size = (static_cast<T>(bits >> 41) + T{0.5}) * T{0x1p-23};
  return (bits & 1) != 0 ? -size : size;
}

/// Adds up `terms` by the rules of src/comm/README.md: `term(sample)` of a step's samples.
template <class T, class Term>
T sum_by_the_rules(const Step& step, const Term& term) {
  std::array<T, 64> sums = {};
  for (std::int64_t s = 0; s < step.shards; ++s) {
    const std::int64_t first = s * step.samples / step.shards;  // rule 1, rounded down
    const std::int64_t end = (s + 1) * step.samples / step.shards;
    T sum = first < end ? term(first) : T{0};  // rules 2 and 3
    for (std::int64_t sample = first + 1; sample < end; ++sample) sum = sum + term(sample);
    sums[static_cast<std::size_t>(s)] = sum;
  }
  for (auto left = static_cast<std::size_t>(step.shards) / 2; left > 0; left /= 2)
    for (std::size_t i = 0; i < left; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];  // rule 4
  return sums[0];
}

}  // namespace

float gradient(std::uint64_t seed, std::int64_t sample, std::int64_t index) {
  const std::uint64_t bits = mix(mix(seed) + static_cast<std::uint64_t>(sample) * 0xd1342543de82ef95U +
                                 static_cast<std::uint64_t>(index) * 0x9e3779b97f4a7c15U);
  const auto value = unit<float>(bits);
  const std::uint64_t choice = bits >> 1;
  switch ((static_cast<std::uint64_t>(index) + seed) % 16) {
    case 0:
      return std::floor(value * 1000) * std::numeric_limits<float>::denorm_min();
    case 1:
      return value * 2e-38F;  // on both sides of the smallest normal number
    case 2:
      return choice % 8 == 0 ? 0.0F : -0.0F;
    case 3:
      if (choice % 4 > 1) return value;
      return choice % 4 == 0 ? value * 1e30F : value * 1e-30F;
    case 4:
      return value * 3e38F;
    case 5:
      if (choice % 512 == 0) return std::copysign(std::numeric_limits<float>::infinity(), value);
      return choice % 512 == 1 ? std::numeric_limits<float>::quiet_NaN() : value;
    default:
      return value * static_cast<float>(1U << choice % 24);
  }
}

double loss(std::uint64_t seed, std::int64_t sample) {
  const std::uint64_t bits = mix(~seed * 0x9e3779b97f4a7c15U + static_cast<std::uint64_t>(sample));
  return std::abs(unit<double>(bits)) * static_cast<double>(std::uint64_t{1} << (bits >> 1) % 40);
}

void fill_gradient(const Step& step, std::int64_t shard, std::span<float> slab) {
  const Range own = piece(step.samples, step.shards, shard);
  for (std::int64_t i = 0; i < std::ssize(slab); ++i) {
    float sum = own.empty() ? 0.0F : gradient(step.seed, own.begin, i);
    for (std::int64_t sample = own.begin + 1; sample < own.end; ++sample)
      sum += gradient(step.seed, sample, i);
    slab[static_cast<std::size_t>(i)] = sum;
  }
}

double shard_loss(const Step& step, std::int64_t shard) {
  const Range own = piece(step.samples, step.shards, shard);
  double sum = 0;
  for (std::int64_t sample = own.begin; sample < own.end; ++sample) sum += loss(step.seed, sample);
  return sum;
}

std::vector<float> reference_mean(const Step& step, Range indices) {
  std::vector<float> mean;
  for (std::int64_t i = indices.begin; i < indices.end; ++i) {
    const auto sum =
        sum_by_the_rules<float>(step, [&](std::int64_t sample) { return gradient(step.seed, sample, i); });
    mean.push_back(sum / static_cast<float>(step.samples));  // rule 5
  }
  return mean;
}

double reference_loss(const Step& step) {
  return sum_by_the_rules<double>(step, [&](std::int64_t sample) { return loss(step.seed, sample); });
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
