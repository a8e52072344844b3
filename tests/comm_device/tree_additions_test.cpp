#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../comm/tree_reference.h"
#include "comm/collective.h"
#include "comm/device_collective.h"
#include "comm/reduction_tree.h"
#include "host_accelerator.h"

namespace lockstep::comm {
namespace {

/// All ranks' subtrees, in shard order.
std::vector<Subtree> trees_of(int ranks, std::int64_t shards) {
  std::vector<Subtree> trees;
  for (int rank = 0; rank < ranks; ++rank)
    for (const Subtree tree : subtrees(shards_of_rank(shards, ranks, rank), shards)) trees.push_back(tree);
  return trees;
}

TEST(TreeAdditions, AreThoseOfTheTree) {
  const std::vector<device::TreeAddition> additions = tree_additions(trees_of(4, 4), 4);
  ASSERT_EQ(additions.size(), 3U);
  EXPECT_EQ(additions[0].into, 0);
  EXPECT_EQ(additions[0].from, 1);
  EXPECT_EQ(additions[1].into, 2);
  EXPECT_EQ(additions[1].from, 3);
  EXPECT_EQ(additions[2].into, 0);
  EXPECT_EQ(additions[2].from, 2);
}

TEST(TreeAdditions, AreNoneForOnePartialSum) {
  EXPECT_TRUE(tree_additions(trees_of(1, 16), 16).empty());
}

/// With Accelerator::mean they give the bits of finish_tree, whatever the ranks.
TEST(TreeAdditions, GiveTheBitsOfFinishTree) {
  constexpr std::int64_t count = 700;
  lockstep::testing::HostAccelerator accelerator;
  const auto stream = accelerator.make_stream();
  for (const std::int64_t shards : {1, 2, 8, 16})
    for (int ranks = 1; ranks <= shards; ++ranks) {
      const std::vector<Subtree> trees = trees_of(ranks, shards);
      const testing::Step step{
          .seed = static_cast<std::uint64_t>(ranks), .samples = 3 * shards + 1, .shards = shards};
      auto pinned = accelerator.make_pinned<float>(count);
      std::vector<std::vector<float>> sums;
      std::vector<SlicePartial> on_host;
      std::vector<device::DeviceArray<float>> arrays;
      std::vector<device::DeviceSpan<const float>> on_device;
      for (const Subtree tree : trees) {
        std::vector<float>& sum = sums.emplace_back(count);
        testing::fill_gradient(step, tree.first, sum);  // any numbers will do
        arrays.push_back(accelerator.make_array<float>(count));
        std::ranges::copy(sum, pinned.span().begin());
        device::copy_in<float>(*stream, arrays.back().span(), pinned.span());
        on_device.emplace_back(arrays.back().span());
      }
      for (std::size_t i = 0; i < trees.size(); ++i) on_host.push_back({trees[i], sums[i].data()});
      std::vector<float> expected(count);
      finish_tree(on_host, shards, 0, static_cast<float>(step.samples), expected);

      const auto arguments = accelerator.make_array<device::UpdateArguments>(1);
      auto pinned_arguments = accelerator.make_pinned<device::UpdateArguments>(1);
      pinned_arguments.span()[0] = {.sgd = {}, .adamw = {}, .samples = static_cast<float>(step.samples)};
      device::copy_in<device::UpdateArguments>(*stream, arguments.span(), pinned_arguments.span());
      const auto mean = accelerator.make_array<float>(count);
      accelerator.mean(*stream, on_device, tree_additions(trees, shards), arguments.span(), mean.span());
      device::copy_out<float>(*stream, pinned.span(), mean.span());
      stream->synchronize();
      EXPECT_EQ(testing::first_difference(pinned.span(), expected), -1) << ranks << " ranks, " << shards;
    }
}

}  // namespace
}  // namespace lockstep::comm
