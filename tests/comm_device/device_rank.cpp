#include "device_rank.h"

#include <algorithm>
#include <cstddef>

#include "comm/collective.h"
#include "comm/reduction_tree.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

/// The sum over a subtree, in tree order.
std::vector<float> sum_of(const testing::Step& step, Subtree tree, std::int64_t size) {
  std::vector<float> sum(static_cast<std::size_t>(size));
  if (tree.count == 1) {
    testing::fill_gradient(step, tree.first, sum);
    return sum;
  }
  const std::int64_t half = tree.count / 2;
  const std::vector<float> left = sum_of(step, {tree.first, half}, size);
  const std::vector<float> right = sum_of(step, {tree.first + half, half}, size);
  add(left.data(), right.data(), sum.data(), size);
  return sum;
}

}  // namespace

DeviceRank::DeviceRank(World& world, config::Exchange exchange, std::int64_t shards, std::int64_t blocks,
                       int device)
    : shards_(shards),
      size_(blocks * Parameters::block),
      accelerator_(device::make_accelerator({.index = device})),
      stream_(accelerator_->make_stream()),
      weights_(accelerator_->make_array<float>(size_)),
      result_(accelerator_->make_pinned<float>(size_)),
      arguments_(accelerator_->make_array<device::UpdateArguments>(1)),
      pinned_arguments_(accelerator_->make_pinned<device::UpdateArguments>(1)),
      collective_(make_device_collective(world, *accelerator_, size_, shards, exchange)) {
  for (const Subtree tree : subtrees(shards_of_rank(shards, world.size(), world.rank()), shards)) {
    slabs_.push_back(accelerator_->make_array<float>(size_));
    pinned_.push_back(accelerator_->make_pinned<float>(size_));
    partials_.push_back({tree, slabs_.back().span()});
  }
}

void DeviceRank::copy_in(const testing::Step& step) {
  for (std::size_t i = 0; i < partials_.size(); ++i) {
    std::ranges::copy(sum_of(step, partials_[i].tree, size_), pinned_[i].span().begin());
    device::copy_in<float>(*stream_, slabs_[i].span(), pinned_[i].span());
  }
  pinned_arguments_.span()[0] = {.sgd = {}, .adamw = {}, .samples = static_cast<float>(step.samples)};
  device::copy_in<device::UpdateArguments>(*stream_, arguments_.span(), pinned_arguments_.span());
}

void DeviceRank::queue_step() {
  const std::span<const DeviceSlicePartial> partials = collective_->exchange(*stream_, partials_);
  std::vector<Subtree> trees;
  std::vector<device::DeviceSpan<const float>> slices;
  for (const DeviceSlicePartial& partial : partials) {
    trees.push_back(partial.tree);
    slices.push_back(partial.slice);
  }
  const Range own = collective_->own_slice();
  if (!own.empty())
    accelerator_->mean(*stream_, slices, tree_additions(trees, shards_), arguments_.span(),
                       weights_.span().subspan(own.begin, own.size()));
  collective_->all_gather(*stream_, weights_.span());
}

void DeviceRank::queue_sum() {
  collective_->all_reduce(*stream_, slabs_.front().span());
}

void DeviceRank::do_it(Way way, std::unique_ptr<device::Graph>& graph, void (DeviceRank::*queue)()) {
  if (way == Way::called) return (this->*queue)();
  if (!graph) graph = stream_->capture([&] { (this->*queue)(); });
  graph->launch(*stream_);
}

std::vector<float> DeviceRank::run(const testing::Step& step, Way way) {
  return result_of([&] {
    copy_in(step);
    do_it(way, step_, &DeviceRank::queue_step);
    device::copy_out<float>(*stream_, result_.span(), weights_.span());
  });
}

std::vector<float> DeviceRank::sum(std::span<const float> own, Way way) {
  return result_of([&] {
    std::ranges::copy(own, pinned_.front().span().begin());
    device::copy_in<float>(*stream_, slabs_.front().span(), pinned_.front().span());
    do_it(way, sum_, &DeviceRank::queue_sum);
    device::copy_out<float>(*stream_, result_.span(), slabs_.front().span());
  });
}

std::vector<float> DeviceRank::result_of(const std::function<void()>& queue) {
  try {
    queue();
    collective_->wait(*stream_);
  } catch (...) {
    collective_->give_up(*stream_);
    throw;
  }
  return {result_.span().begin(), result_.span().end()};
}

}  // namespace lockstep::comm
