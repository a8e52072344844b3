#include "comm/reduction_tree.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace lockstep::comm {

std::vector<Subtree> subtrees(Range shards, std::int64_t total) {
  check(total > 0 && std::has_single_bit(static_cast<std::uint64_t>(total)),
        "the number of shards is a power of two");
  check(0 <= shards.begin && shards.end <= total, "a run of shards lies within all shards");
  std::vector<Subtree> result;
  for (std::int64_t first = shards.begin; first < shards.end;) {
    const std::int64_t aligned = first == 0 ? total : first & -first;  // the largest power of two dividing it
    const auto room = static_cast<std::uint64_t>(shards.end - first);
    const std::int64_t count = std::min(aligned, static_cast<std::int64_t>(std::bit_floor(room)));
    result.push_back({first, count});
    first += count;
  }
  return result;
}

void add(const float* left, const float* right, float* sum, std::int64_t count) {
  if (sum == left) {
    float* __restrict out = sum;
    const float* __restrict r = right;
    for (std::int64_t i = 0; i < count; ++i) out[i] = out[i] + r[i];
  } else {
    const float* __restrict l = left;
    const float* __restrict r = right;
    float* __restrict out = sum;
    for (std::int64_t i = 0; i < count; ++i) out[i] = l[i] + r[i];
  }
}

}  // namespace lockstep::comm
