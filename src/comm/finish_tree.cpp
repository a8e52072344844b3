#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "base/check.h"
#include "comm/collective.h"

namespace lockstep::comm {
namespace {

/// Floats that go through the whole tree before the next ones: 2 KiB for each level of the recursion, so that
/// all intermediate sums stay in the first-level cache.
constexpr std::int64_t chunk = 512;

/// Adds one chunk of all partial sums. Walks the tree from its root; the partials are met in shard order.
class ChunkSum {
 public:
  ChunkSum(std::span<const SlicePartial> partials, std::int64_t offset, std::int64_t count)
      : partials_(partials), offset_(offset), count_(count) {}

  /// The sum over `tree`: in `buffer`, or where it lies already if it is one of the partials.
  const float* sum(Subtree tree, float* buffer) {
    if (partials_[next_].tree == tree) return partials_[next_++].data + offset_;
    const std::int64_t half = tree.count / 2;
    alignas(64) std::array<float, chunk> right_buffer;  // NOLINT: filled by sum()
    const float* left = sum({tree.first, half}, buffer);
    const float* right = sum({tree.first + half, half}, right_buffer.data());
    add(left, right, buffer, count_);
    return buffer;
  }

 private:
  std::span<const SlicePartial> partials_;
  std::size_t next_ = 0;
  std::int64_t offset_;
  std::int64_t count_;
};

/// out = sum / samples; `sum` may be `out`. The reciprocal of a power of two is exact, so that multiplying by
/// it rounds the same number once: the same bits, without the cost of divisions.
void divide(const float* sum, float samples, std::int64_t count, float* out) {
  int exponent = 0;
  if (std::frexp(samples, &exponent) == 0.5F) {
    const float reciprocal = 1 / samples;
    for (std::int64_t i = 0; i < count; ++i) out[i] = sum[i] * reciprocal;
  } else {
    for (std::int64_t i = 0; i < count; ++i) out[i] = sum[i] / samples;
  }
}

/// So that the recursion ends at a partial on every path.
void check_cover(std::span<const SlicePartial> partials, Range shards) {
  std::int64_t next = shards.begin;
  for (const SlicePartial& partial : partials) {
    check(partial.tree.first == next, "partial sums follow one another in shard order");
    next += partial.tree.count;
  }
  check(next == shards.end, "partial sums cover all shards");
}

}  // namespace

void add_up(std::span<const SlicePartial> partials, Subtree tree, std::int64_t first, std::span<float> out) {
  check_cover(partials, tree.shards());
  for (std::int64_t done = 0; done < std::ssize(out); done += chunk) {
    const std::int64_t count = std::min(chunk, std::ssize(out) - done);
    float* target = out.data() + done;
    const float* sum = ChunkSum(partials, first + done, count).sum(tree, target);
    if (sum != target) std::copy_n(sum, count, target);
  }
}

void finish_tree(std::span<const SlicePartial> partials, std::int64_t shards, std::int64_t first,
                 float samples, std::span<float> out) {
  check_cover(partials, {0, shards});
  for (std::int64_t done = 0; done < std::ssize(out); done += chunk) {
    const std::int64_t count = std::min(chunk, std::ssize(out) - done);
    float* target = out.data() + done;
    divide(ChunkSum(partials, first + done, count).sum({0, shards}, target), samples, count, target);
  }
}

}  // namespace lockstep::comm
