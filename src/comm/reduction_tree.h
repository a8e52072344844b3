#pragma once

#include <cstdint>
#include <vector>

#include "base/partition.h"

/// The one order in which Lockstep adds: a binary tree over the shard index,
/// ((g0+g1)+(g2+g3))+((g4+g5)+(g6+g7)). src/comm/README.md states it as a contract.
namespace lockstep::comm {

/// A node of the tree: the sum of shards [first, first + count), count a power of two that divides first.
struct Subtree {
  std::int64_t first = 0;
  std::int64_t count = 0;

  [[nodiscard]] constexpr bool is_left() const { return first / count % 2 == 0; }
  [[nodiscard]] constexpr Subtree sibling() const {
    return {is_left() ? first + count : first - count, count};
  }
  [[nodiscard]] constexpr Subtree parent() const { return {is_left() ? first : first - count, 2 * count}; }
  [[nodiscard]] constexpr Range shards() const { return {first, first + count}; }
  friend constexpr bool operator==(const Subtree&, const Subtree&) = default;
};

/// The maximal complete subtrees that make up a run of consecutive shards of `total` (a power of two), in
/// order: what a rank that has these shards can add by itself.
std::vector<Subtree> subtrees(Range shards, std::int64_t total);

/// The one addition of the tree: sum[i] = left[i] + right[i] for i in [0, count). `sum` may be `left` itself;
/// otherwise the three do not overlap.
void add(const float* left, const float* right, float* sum, std::int64_t count);

/// Adds values of single shards (values.size() a power of two) in tree order. T needs +=.
template <class T>
T tree_sum(std::vector<T> values) {
  for (std::size_t width = values.size(); width > 1; width /= 2)
    for (std::size_t pair = 0; pair < width / 2; ++pair) {
      T sum = values[2 * pair];
      sum += values[2 * pair + 1];
      values[pair] = sum;
    }
  return values.front();
}

}  // namespace lockstep::comm
