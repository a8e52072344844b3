#include "comm/local_tree.h"

#include <algorithm>
#include <bit>
#include <ranges>
#include <utility>

#include "base/check.h"

namespace lockstep::comm {
namespace {

/// The most slabs in use within some shards while at most w workers are delayed in them, for w = 0, 1, …
/// All but one of the workers may be: what was started last has a worker of its own.
struct MostSlabs {
  std::vector<int> started;  ///< where all have been started, the last of all elsewhere
  std::vector<int> partly;   ///< where a prefix has been, whose end is at work, the last of all
};

/// Shards that a worker takes together, and that become so many sums.
MostSlabs most_slabs_of_group(int shards, int sums, std::size_t delayed) {
  MostSlabs most{.started = std::vector<int>(delayed + 1, shards),
                 .partly = std::vector<int>(delayed + 1, shards)};
  most.started[0] = sums;
  return most;
}

/// The best split of w delayed workers between two neighbours.
int best_split(const std::vector<int>& left, const std::vector<int>& right, std::size_t w) {
  int most = 0;
  for (std::size_t a = 0; a <= w; ++a) most = std::max(most, left[a] + right[w - a]);
  return most;
}

/// Of complete subtrees, by their height above that of a group. A complete subtree is one slab; one in which
/// a worker is delayed keeps those of both halves. What was started last is in the left half, or in the right
/// one with all of the left started. A worker that adds counts as one still at work, which never takes fewer
/// slabs.
std::vector<MostSlabs> most_slabs(int heights, int together, std::size_t delayed) {
  std::vector<MostSlabs> most(static_cast<std::size_t>(heights));
  most[0] = most_slabs_of_group(together, 1, delayed);
  for (std::size_t h = 1; h < most.size(); ++h) {
    const MostSlabs& half = most[h - 1];
    for (std::size_t w = 0; w <= delayed; ++w) {
      most[h].started.push_back(w == 0 ? 1 : best_split(half.started, half.started, w));
      most[h].partly.push_back(std::max(half.partly[w], best_split(half.started, half.partly, w)));
    }
  }
  return most;
}

/// Of a rank's shards in order: complete subtrees of one group or more, and what it has of a group at either
/// end.
std::vector<MostSlabs> most_slabs_of_parts(Range shards, std::int64_t total_shards, int together,
                                           std::size_t delayed) {
  const std::int64_t groups = std::max<std::int64_t>(total_shards / together, 1);
  const std::vector<MostSlabs> whole =
      most_slabs(std::bit_width(static_cast<std::uint64_t>(groups)), together, delayed);
  std::vector<MostSlabs> parts;
  const std::vector<Subtree> trees = subtrees(shards, total_shards);
  for (std::size_t i = 0; i < trees.size();) {
    if (trees[i].count >= together) {
      parts.push_back(whole[static_cast<std::size_t>(
          std::countr_zero(static_cast<std::uint64_t>(trees[i].count / together)))]);
      ++i;
      continue;
    }
    const std::int64_t group = trees[i].first / together;
    int count = 0, sums = 0;
    for (; i < trees.size() && trees[i].first / together == group; ++i, ++sums)
      count += static_cast<int>(trees[i].count);
    parts.push_back(most_slabs_of_group(count, sums, delayed));
  }
  return parts;
}

}  // namespace

int LocalTree::slabs_needed(Range shards, std::int64_t total_shards, int workers, int together) {
  check(workers > 0, "shards are computed by one worker or more");
  check(std::has_single_bit(static_cast<unsigned>(together)), "shards are taken together by powers of two");
  const auto delayed = static_cast<std::size_t>(std::min<std::int64_t>(workers - 1, shards.size()));
  // From the last part to the first: what was started last is in this one, or in a later one with all of this
  // one started.
  std::vector<int> from_here(delayed + 1, 0);
  for (const MostSlabs& part :
       std::views::reverse(most_slabs_of_parts(shards, total_shards, together, delayed))) {
    std::vector<int> with_this(delayed + 1);
    for (std::size_t w = 0; w <= delayed; ++w)
      with_this[w] = std::max(part.partly[w], best_split(part.started, from_here, w));
    from_here = std::move(with_this);
  }
  return from_here[delayed];
}

LocalTree::LocalTree(Range shards, std::int64_t total_shards, std::vector<std::span<float>> slabs,
                     std::span<const Range> apart)
    : shards_(shards), all_slabs_(std::move(slabs)) {
  check(!all_slabs_.empty(), "a local tree has slabs");
  slab_size_ = std::ssize(all_slabs_.front());
  for (const std::span<float> slab : all_slabs_)
    check(std::ssize(slab) == slab_size_, "all slabs are of one size");
  whole_.push_back({0, slab_size_});
  std::int64_t begin = 0;
  for (const Range& range : apart) {
    check(begin <= range.begin && range.end <= slab_size_, "what is apart ascends");
    if (begin < range.begin) besides_.push_back({begin, range.begin});
    begin = range.end;
  }
  if (begin < slab_size_) besides_.push_back({begin, slab_size_});
  for (const Subtree tree : subtrees(shards, total_shards)) {
    roots_.push_back({tree, nodes_.size()});
    nodes_.resize(nodes_.size() + 2 * static_cast<std::size_t>(tree.count) - 1);
    partials_.push_back({tree, nullptr});
    sums_.push_back(nullptr);
  }
  free_.reserve(all_slabs_.size());
  reset();
}

void LocalTree::reset() {
  const std::scoped_lock lock(mutex_);
  free_.clear();
  for (const std::span<float> slab : all_slabs_) free_.push_back(slab.data());
  std::fill(nodes_.begin(), nodes_.end(), Node{});
  added_ = whole_;
  for (Partial& partial : partials_) partial.data = nullptr;
  std::fill(sums_.begin(), sums_.end(), nullptr);
}

std::span<float> LocalTree::take_slab() {
  const std::scoped_lock lock(mutex_);
  check(!free_.empty(), "LocalTree::slabs_needed gave enough slabs");
  float* slab = free_.back();  // the one freed last: the likeliest to be in a cache
  free_.pop_back();
  return {slab, static_cast<std::size_t>(slab_size_)};
}

std::size_t LocalTree::root_of(Subtree tree) const {
  const auto after = std::find_if(roots_.begin(), roots_.end(),
                                  [&](const Root& root) { return root.tree.first > tree.first; });
  return static_cast<std::size_t>(after - roots_.begin()) - 1;
}

LocalTree::Node& LocalTree::node(const Root& root, Subtree tree) {
  const std::int64_t in_level = root.tree.count / tree.count;  // and as many less one in the levels above
  const std::int64_t index = in_level - 1 + (tree.first - root.tree.first) / tree.count;
  return nodes_[root.first_node + static_cast<std::size_t>(index)];
}

void LocalTree::add(std::int64_t shard, std::span<float> slab) {
  check(shards_.contains(shard), "a shard is added on the rank that owns it");
  Subtree tree{shard, 1};
  const std::size_t index = root_of(tree);
  const Root& root = roots_[index];
  float* sum = slab.data();

  std::unique_lock lock(mutex_);
  check(!std::exchange(node(root, tree).added, true), "a shard is added once in a step");
  while (tree != root.tree) {
    float* other = std::exchange(node(root, tree.sibling()).slab, nullptr);
    if (other == nullptr) {
      node(root, tree).slab = sum;
      return;
    }
    float* left = tree.is_left() ? sum : other;
    float* right = tree.is_left() ? other : sum;
    lock.unlock();
    for (const Range& range : added_)
      comm::add(left + range.begin, right + range.begin, left + range.begin, range.size());
    lock.lock();
    free_.push_back(right);
    sum = left;
    tree = tree.parent();
  }
  partials_[index].data = sums_[index] = sum;
}

std::span<const Partial> LocalTree::partials() const {
  const std::scoped_lock lock(mutex_);
  for (const Partial& partial : partials_)
    check(partial.data != nullptr, "every shard was added before the partial sums are taken");
  return partials_;
}

LocalTree::Sum LocalTree::sum(std::size_t index) const {
  const std::scoped_lock lock(mutex_);
  const Root& root = roots_[index];
  float* const slab = sums_[index];
  check(slab != nullptr, "every shard was added before the sums are taken");
  return {root.tree, {slab, static_cast<std::size_t>(slab_size_)}};
}

}  // namespace lockstep::comm
