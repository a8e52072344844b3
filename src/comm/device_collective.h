#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/partition.h"
#include "comm/reduction_tree.h"
#include "comm/world.h"
#include "config/experiment.h"
#include "device/accelerator.h"

namespace lockstep::comm {

/// A sum over a complete subtree of shards that this rank has computed: one slab of device memory.
struct DevicePartial {
  Subtree tree;
  device::DeviceSpan<const float> slab;
};

/// Partial sums of one slice of the slab, from all ranks, in shard order: together they cover all shards.
struct DeviceSlicePartial {
  Subtree tree;
  device::DeviceSpan<const float> slice;
};

/// Collective for tensors in device memory. Main thread only; every method but the accessors is collective.
/// What it does is queued on the stream that it is given, behind what the stream has already.
///
/// A step: exchange(); mean and update of the own slice of the weights, queued by the caller; all_gather().
class DeviceCollective {
 public:
  virtual ~DeviceCollective() = default;
  DeviceCollective(const DeviceCollective&) = delete;
  DeviceCollective& operator=(const DeviceCollective&) = delete;

  [[nodiscard]] virtual std::string_view name() const = 0;  ///< "self", "nccl", "mpi through host memory"
  /// The slice of the slab (in floats) that a rank owns: slice_of_rank().
  [[nodiscard]] Range slice(int rank) const;
  [[nodiscard]] Range own_slice() const { return slice(world_.rank()); }

  /// Whether the methods below do nothing but queue, so that they may be captured in a graph. Otherwise they
  /// wait for the stream and for other ranks.
  [[nodiscard]] virtual bool only_queues() const = 0;

  /// Brings together all ranks' partial sums of the own slice. `local` are this rank's, in shard order:
  /// exactly subtrees() of its shards, the same slabs on each call. The result is the same on each call, and
  /// holds what it says once the stream has come so far. With `findings`, shares them along, as share() does.
  virtual std::span<const DeviceSlicePartial> exchange(device::Stream& stream,
                                                       std::span<const DevicePartial> local,
                                                       device::DeviceSpan<device::StepFindings> findings) = 0;
  std::span<const DeviceSlicePartial> exchange(device::Stream& stream, std::span<const DevicePartial> local) {
    return exchange(stream, local, {});
  }
  /// Every rank has new weights in its own slice of `weights`, a slab; afterwards all ranks have all of them.
  virtual void all_gather(device::Stream& stream, device::DeviceSpan<float> weights) = 0;
  /// Sum over ranks in whatever order the library likes, in place: for `reproducibility: run`.
  virtual void all_reduce(device::Stream& stream, device::DeviceSpan<float> values) = 0;
  /// To be called before sums of so many floats: they will connect and allocate nothing then.
  virtual void prepare_sums(std::span<const std::int64_t> /*floats*/) {}

  /// `of_ranks` has an element for each rank, of which each rank has filled in its own; afterwards all ranks
  /// have all of them. Only where only_queues().
  virtual void share(device::Stream& stream, device::DeviceSpan<device::StepFindings> of_ranks);

  /// Returns when the work, a stream's, is done. Meanwhile looks for failures of the connections,
  /// upon which it gives them up, so that neither the device nor the host waits for ever, and throws
  /// Error(internal) naming rank and operation. Not collective.
  virtual void wait(device::Awaitable& work) = 0;

  /// To be called after a failure, before what the stream's work uses goes: drops the connections, so that
  /// nothing waits for other ranks any more, and returns when the stream has come to its end. Only the
  /// destructor may follow. Not collective.
  virtual void give_up(device::Stream& stream) noexcept;

  [[nodiscard]] Activity& activity() { return world_.activity(); }
  /// As Collective::bytes_per_step(). Not collective.
  [[nodiscard]] std::int64_t bytes_per_step() const;

 protected:
  /// Requires whole blocks, and at least one shard for each rank.
  DeviceCollective(World& world, device::Accelerator& accelerator, std::int64_t slab_size,
                   std::int64_t shards);
  /// Entries of results_, in shard order, that come from a rank.
  [[nodiscard]] std::span<DeviceSlicePartial> results_of(int rank);
  /// Room for what other ranks send: the own slice of their partial sums.
  [[nodiscard]] std::int64_t received_floats() const;
  /// Points the other ranks' entries of results_ at it, in shard order.
  void receive_into(device::DeviceSpan<float> received);
  /// Points this rank's own entries of results_ at its slabs, and checks that they are the right ones.
  void take_local(std::span<const DevicePartial> local);

  World& world_;
  device::Accelerator& accelerator_;
  std::int64_t slab_size_;
  std::int64_t shards_;
  std::vector<DeviceSlicePartial> results_;
};

/// `self` for one rank. `automatic` takes NCCL if this program has it and each rank a device on a board of
/// its own, else mpi. Collective; throws AgreedError if any rank cannot.
std::unique_ptr<DeviceCollective> make_device_collective(World& world, device::Accelerator& accelerator,
                                                         std::int64_t slab_size, std::int64_t shards,
                                                         config::Exchange wanted);

/// The collective over NCCL; null where this program was built without. Which file this is in is decided by
/// the build (nccl_collective.cpp, no_nccl.cpp). Collective.
std::unique_ptr<DeviceCollective> make_nccl_collective(World& world, device::Accelerator& accelerator,
                                                       std::int64_t slab_size, std::int64_t shards);

/// The additions that make the whole sum of partial sums that cover all shards, in tree order, for
/// Accelerator::mean: `trees` in shard order.
std::vector<device::TreeAddition> tree_additions(std::span<const Subtree> trees, std::int64_t shards);

}  // namespace lockstep::comm
