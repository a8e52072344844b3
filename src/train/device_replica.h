#pragma once

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/device_collective.h"
#include "train/device_hashes.h"
#include "train/device_samples.h"
#include "train/replica.h"

namespace lockstep::train {

/// A replica in the memory of an Accelerator.
///
/// Each shard runs on a branch, a stream with runners of its own, so that small shards run side by side; the
/// first stream forks into the branches, joins them, and adds up the shards' gradients in tree order. What a
/// step queues is always the same, so it is captured as two graphs: one up to the sums and totals, for each
/// way in which a step's samples are cut into shards, and one from the exchange to the new weights. Between
/// them the host tells the other ranks how it went. A graph's work is queued piece by piece the first time,
/// so that libraries have loaded what they need before it is captured. Nothing waits for the second graph:
/// the next step is queued behind it.
class DeviceReplica final : public Replica {
 public:
  /// Collective; throws on all ranks if any of them fails. `dataset` has the rank's stripes.
  DeviceReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
                const data::Dataset& dataset);
  ~DeviceReplica() override;

  [[nodiscard]] bool has_images() const override { return samples_->on_device(); }
  [[nodiscard]] std::string exchange() const override { return std::string(collective_->name()); }
  [[nodiscard]] std::int64_t bytes_per_step() const override { return collective_->bytes_per_step(); }
  [[nodiscard]] std::span<const float> weights() override;
  void set_weights(std::span<const float> weights) override;
  [[nodiscard]] std::vector<optim::Optimizer::State> state() override;
  void state_changed() override;
  std::span<const device::Totals> compute(const data::Batch& batch, ShardWatch* watch) override;
  void update(std::int64_t step, double learning_rate, std::int64_t samples) override;
  [[nodiscard]] std::optional<NotFinite> not_finite() override;
  [[nodiscard]] MemoryHashes look() override;
  void repair(std::int64_t step) override;
  [[nodiscard]] std::uint64_t recorded_state() const override { return memory_->recorded_state(); }
  void flip_memory() override;

 private:
  using Counts = std::vector<std::int64_t>;  ///< samples of each of the rank's shards
  struct Branch {
    std::unique_ptr<device::Stream> stream;
    std::map<std::int64_t, std::unique_ptr<device::DeviceRunner>> runners;  // by samples
  };
  struct Repeated {  ///< work that is queued piece by piece once, and then as a graph
    bool done_once = false;
    std::unique_ptr<device::Graph> graph;
  };
  struct State {
    std::string name;
    device::DeviceArray<float> device;
    device::PinnedArray<float> host;
  };

  void set_up(const Resources& resources, const data::Dataset& dataset);
  void make_memory(device::Accelerator& accelerator);
  void make_plans(const Resources& resources, const data::Stripes& stripes);
  void hash_plans(device::Backend& backend, const data::Stripes& stripes);
  template <class Work>
  void repeat(Repeated& repeated, const Work& work);
  void queue_shards(const Counts& counts);
  void queue_sums();
  void queue_update();
  void queue_optimizer();
  void inspect_gradients(ShardWatch* watch);
  void record();
  void fetch();
  void wait();
  bool finish_update() noexcept;
  void check_copy() const;
  [[nodiscard]] bool looks_at_memory() const;
  [[nodiscard]] std::int64_t branch_count() const;
  void settle();
  [[nodiscard]] NotFinite locate(std::int64_t block);
  [[nodiscard]] device::DeviceSpan<float> own_weights() const;
  [[nodiscard]] std::vector<device::DeviceSpan<float>> device_states() const;

  comm::World& world_;
  const Blueprint& blueprint_;
  device::Accelerator& accelerator_;
  Range shards_;
  std::int64_t slab_size_;
  std::unique_ptr<comm::DeviceCollective> collective_;
  std::unique_ptr<device::Stream> stream_;

  device::DeviceArray<float> weights_;
  device::PinnedArray<float> host_weights_;
  bool host_is_current_ = false;  // host_weights_
  std::vector<State> states_;
  std::vector<device::DeviceArray<float>> gradients_;  // one slab for each shard; sums end up in some of them
  std::vector<comm::DevicePartial> partials_;          // those
  device::PinnedArray<float> gradient_copy_;           // for a look at one; made when it is needed
  device::DeviceArray<float> sum_;                     // of all ranks, unless each has a slice
  device::DeviceArray<float> mean_;                    // of the own part
  device::DeviceArray<device::Totals> totals_;
  device::PinnedArray<device::Totals> host_totals_;
  device::DeviceArray<device::UpdateArguments> arguments_;
  device::PinnedArray<device::UpdateArguments> host_arguments_;
  device::DeviceArray<std::uint32_t> flags_;  // of own blocks with a number that is not finite
  device::PinnedArray<std::uint32_t> host_flags_;

  std::optional<DeviceSamples> samples_;
  std::optional<DeviceHashes> hashes_;
  std::optional<MemoryCheck> memory_;
  std::map<std::int64_t, std::unique_ptr<device::DevicePlan>> plans_;  // by samples
  std::vector<Branch> branches_;

  std::map<Counts, Repeated> computations_;  // of shards and their sums
  Repeated update_;
  int exceptions_ = std::uncaught_exceptions();  // under way when this was made
  bool update_pending_ = false;                  // what it writes to the host has not been looked at
  bool hashes_are_current_ = false;              // hashes_->now()
};

}  // namespace lockstep::train
