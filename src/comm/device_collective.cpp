#include "comm/device_collective.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <set>
#include <utility>

#include "base/check.h"
#include "comm/collective.h"
#include "comm/mpi_device_collective.h"
#include "comm/self_device_collective.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

/// Walks the tree from its root; the partial sums are met in shard order.
class Additions {
 public:
  explicit Additions(std::span<const Subtree> trees) : trees_(trees) {}

  /// Index of the partial sum that has the sum over `tree` in the end.
  int sum(Subtree tree) {
    const auto next = static_cast<std::size_t>(next_);
    check(next < trees_.size() && trees_[next].first == tree.first,
          "partial sums cover all shards, in order");
    if (trees_[next] == tree) return next_++;
    check(tree.count > 1, "partial sums are of subtrees");
    const std::int64_t half = tree.count / 2;
    const int left = sum({tree.first, half});
    const int right = sum({tree.first + half, half});
    result_.push_back({.into = left, .from = right});
    return left;
  }

  std::vector<device::TreeAddition> take() {
    check(next_ == std::ssize(trees_), "partial sums cover no shard twice");
    return std::move(result_);
  }

 private:
  std::span<const Subtree> trees_;
  int next_ = 0;
  std::vector<device::TreeAddition> result_;
};

/// Whether no two ranks compute on one board: NCCL connects no parts of one. Collective.
bool each_has_its_own(World& world, const device::Accelerator& accelerator) {
  const std::vector<std::string> boards = world.all_gather(accelerator.facts().board);
  std::set<std::pair<std::string, std::string>> places;
  for (std::size_t rank = 0; rank < boards.size(); ++rank) places.emplace(world.hosts()[rank], boards[rank]);
  return places.size() == boards.size();
}

}  // namespace

DeviceCollective::DeviceCollective(World& world, device::Accelerator& accelerator, std::int64_t slab_size,
                                   std::int64_t shards)
    : world_(world), accelerator_(accelerator), slab_size_(slab_size), shards_(shards) {
  check(slab_size > 0 && slab_size % Parameters::block == 0, "a slab is a whole number of blocks");
  check(shards >= world.size(), "every rank has a shard");
  for (int rank = 0; rank < world.size(); ++rank)
    for (const Subtree tree : subtrees(shards_of_rank(shards, world.size(), rank), shards))
      results_.push_back({tree, {}});
}

Range DeviceCollective::slice(int rank) const {
  return slice_of_rank(slab_size_, world_.size(), rank);
}

std::int64_t DeviceCollective::bytes_per_step() const {
  return comm::bytes_per_step(slab_size_, shards_, world_.size(), world_.rank());
}

std::span<DeviceSlicePartial> DeviceCollective::results_of(int rank) {
  const Range shards = shards_of_rank(shards_, world_.size(), rank);
  const auto first_from = [&](std::int64_t shard) {
    return std::ranges::find_if(results_,
                                [shard](const auto& partial) { return partial.tree.first >= shard; });
  };
  return {first_from(shards.begin), first_from(shards.end)};
}

std::int64_t DeviceCollective::received_floats() const {
  const Range own = shards_of_rank(shards_, world_.size(), world_.rank());
  const auto is_own = [own](const DeviceSlicePartial& partial) { return own.contains(partial.tree.first); };
  return (std::ssize(results_) - std::ranges::count_if(results_, is_own)) * own_slice().size();
}

void DeviceCollective::receive_into(device::DeviceSpan<float> received) {
  const std::int64_t size = own_slice().size();
  std::int64_t next = 0;
  for (int rank = 0; rank < world_.size(); ++rank) {
    if (rank == world_.rank()) continue;
    for (DeviceSlicePartial& partial : results_of(rank)) {
      partial.slice = received.subspan(next, size);
      next += size;
    }
  }
}

void DeviceCollective::take_local(std::span<const DevicePartial> local) {
  const std::span<DeviceSlicePartial> own = results_of(world_.rank());
  check(local.size() == own.size(), "a rank brings one partial sum for each of its subtrees");
  for (std::size_t i = 0; i < own.size(); ++i) {
    check(local[i].tree == own[i].tree, "a rank brings the partial sums of its own subtrees, in order");
    check(local[i].slab.count == slab_size_, "a partial sum is a slab");
    own[i].slice = local[i].slab.subspan(own_slice().begin, own_slice().size());
  }
}

void DeviceCollective::share(device::Stream& /*stream*/,
                             device::DeviceSpan<device::StepFindings> /*of_ranks*/) {
  check(false, "the host decides where an exchange takes the host");
}

void DeviceCollective::give_up(device::Stream& stream) noexcept {
  try {
    stream.synchronize();
  } catch (const std::exception&) {
    return;  // one failure was reported already
  }
}

std::unique_ptr<DeviceCollective> make_device_collective(World& world, device::Accelerator& accelerator,
                                                         std::int64_t slab_size, std::int64_t shards,
                                                         config::Exchange wanted) {
  if (world.size() == 1) return std::make_unique<SelfDeviceCollective>(world, accelerator, slab_size, shards);
  const bool may_be_nccl = wanted == config::Exchange::nccl ||
                           (wanted == config::Exchange::automatic && each_has_its_own(world, accelerator));
  if (may_be_nccl)
    if (auto nccl = make_nccl_collective(world, accelerator, slab_size, shards)) return nccl;
  if (wanted == config::Exchange::nccl)
    throw AgreedError(
        ExitCode::no_device,
        "device.exchange is nccl, but this build of Lockstep has no NCCL: set device.exchange=mpi");
  return std::make_unique<MpiDeviceCollective>(
      world, accelerator, slab_size, shards,
      wanted == config::Exchange::cuda_aware_mpi ? MpiReads::device_memory : MpiReads::host_memory);
}

std::vector<device::TreeAddition> tree_additions(std::span<const Subtree> trees, std::int64_t shards) {
  Additions additions(trees);
  additions.sum({0, shards});
  return additions.take();
}

}  // namespace lockstep::comm
