#pragma once

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/device_collective.h"
#include "data/loader.h"
#include "train/device_engine.h"
#include "train/device_hashes.h"
#include "train/device_report.h"
#include "train/device_samples.h"
#include "train/repeated_work.h"
#include "train/replica.h"

namespace lockstep::train {

/// A replica in the memory of an Accelerator.
///
/// What a step queues is always the same, so it is captured as two graphs: one up to the sums of this rank's
/// gradients and the report to the host, for each way in which a step's samples are cut, and one from the
/// exchange to the new weights. Nothing waits for the second: the next step is queued behind it, and its
/// first graph reports what the update left.
///
/// Where the exchange only queues, the devices run ahead of the hosts: both graphs are queued at once, and
/// behind them the next step's, before the report is here. The devices then decide among themselves, by what
/// the hosts will decide by, whether the update takes place (Accelerator::decide). Once it did not, no later
/// one does, until repair(). Otherwise, and in steps whose arithmetic is checked, the second graph is queued
/// when all hosts have told each other how the first went.
///
/// With `reproducibility: run` and NCCL, the first graph is the forward pass alone, and the backward pass
/// belongs to the second: gradients of the last layers travel in buckets while it computes the first ones',
/// and yet no report waits for what another rank does in the same step.
///
/// In lockstep mode each shard goes through the network by itself; otherwise all that the rank has of a step
/// at once, unless faults may happen, and a shard that is watched once more by itself.
class DeviceReplica final : public Replica {
 public:
  /// Collective; throws on all ranks if any of them fails. `dataset` has the rank's stripes.
  DeviceReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
                const data::Dataset& dataset);
  ~DeviceReplica() override;

  [[nodiscard]] bool has_images() const override { return samples_->on_device(); }
  [[nodiscard]] bool runs_ahead() const override;
  [[nodiscard]] std::string exchange() const override { return std::string(collective_->name()); }
  [[nodiscard]] std::int64_t bytes_per_step() const override { return collective_->bytes_per_step(); }
  [[nodiscard]] std::span<const float> weights() override;
  void set_weights(std::span<const float> weights) override;
  [[nodiscard]] std::vector<optim::Optimizer::State> state() override;
  void state_changed() override;
  void start_batches(std::int64_t epoch, std::int64_t step) override { loader_->start(epoch, step); }
  const data::Batch& next_batch() override { return loader_->next(); }
  std::span<const device::Totals> compute(const Step& step, ShardWatch* watch) override;
  void update() override;
  [[nodiscard]] bool diverged() override;
  [[nodiscard]] std::optional<NotFinite> not_finite() override;
  [[nodiscard]] MemoryHashes look() override;
  void repair(std::int64_t step) override;
  [[nodiscard]] std::uint64_t recorded_state() const override { return memory_->recorded_state(); }
  void flip_memory() override;

 private:
  struct State {
    std::string name;
    device::DeviceArray<float> device;
    device::PinnedArray<float> host;
  };
  struct Sum {  ///< of slabs of gradients, in tree order
    std::vector<device::DeviceSpan<const float>> terms;
    std::vector<device::TreeAddition> additions;
    device::DeviceSpan<float> into;
  };

  /// A step that has been queued.
  struct Queued {
    std::int64_t number = 0;
    std::int64_t samples = 0;  ///< over all ranks
    const DeviceSamples::Staged* staged = nullptr;
    Pieces pieces = Pieces::shards;
    bool with_update = false;  ///< which is queued too, and awaits update()
  };
  /// For each of two steps under way: when its report is here, and what the device reads until then.
  struct Room {
    std::unique_ptr<device::Milestone> reported;
    device::PinnedArray<device::UpdateArguments> arguments;
  };
  /// Also the slot of its samples. By number, so that all ranks capture the same graphs at the same time, as
  /// NCCL wants it of those with its operations.
  static std::size_t room_of(std::int64_t step) { return static_cast<std::size_t>(step % 2); }

  // Once: device_replica_setup.cpp.
  void set_up(const Resources& resources, const data::Dataset& dataset);
  void make_buckets();
  void make_memory();
  void make_engines(const data::Stripes& stripes);
  void make_gradients(std::int64_t count);
  void make_shard_engine(const data::Stripes& stripes, std::int64_t branches);
  void make_sums();
  void plan_tree(const comm::Subtree& tree);
  void hash_plans(device::Backend& backend, const data::Stripes& stripes);

  // A step.
  Queued begin(const Step& step, ShardWatch* watch);
  void go_ahead(const Step& step);
  void await_slot_of(std::int64_t step);
  [[nodiscard]] device::Milestone& milestone_of(std::int64_t step) const;
  void queue_pieces(const DeviceSamples::Staged& staged, Pieces pieces, bool follows_update);
  void queue_sums(const DeviceSamples::Staged& staged, Pieces pieces);
  void write_arguments(const Step& step, device::UpdateArguments& arguments) const;
  enum class Who : bool { hosts, devices };  ///< decides whether it takes place
  void queue_update(const Queued& step, Who decides);
  void queue_update_once(const Queued& step, Who decides);
  std::span<const comm::DeviceSlicePartial> queue_exchange(const Queued& step, Who decides);
  void queue_backward(std::int64_t count);
  void queue_bucket(device::Stream& stream, std::size_t bucket);
  void queue_findings(device::Stream& stream);
  void queue_decision(device::Stream& stream);
  void queue_gathering(Who decides);
  void queue_mean(std::span<const comm::DeviceSlicePartial> partials);
  void queue_optimizer();
  void take_totals(const std::vector<std::int64_t>& counts);

  // Checks: device_replica_checks.cpp.
  void inspect_gradients(ShardWatch* watch);
  void compute_alone(const Step& step, ShardWatch& watch);
  [[nodiscard]] std::span<float> gradient_copy();
  void check_copy() const;
  void go_back();
  [[nodiscard]] NotFinite locate(std::int64_t block);
  [[nodiscard]] bool looks_at_memory() const;
  [[nodiscard]] bool sends_buckets(Pieces pieces) const;

  // Between host and device.
  void settle();
  void settled();
  void record();
  void fetch();
  void wait();
  bool finish_update() noexcept;
  [[nodiscard]] device::DeviceSpan<float> own_weights() const;
  [[nodiscard]] std::vector<device::DeviceSpan<float>> device_states() const;

  comm::World& world_;
  const Blueprint& blueprint_;
  device::Accelerator& accelerator_;
  device::PlanChoices choices_;
  Range shards_;
  std::int64_t slab_size_;
  std::unique_ptr<comm::DeviceCollective> collective_;
  std::unique_ptr<device::Stream> stream_;
  std::unique_ptr<device::Stream> side_;     // for hashes, beside what a step must wait for
  std::unique_ptr<device::Stream> buckets_;  // for gradients that travel beside the backward pass

  device::DeviceArray<float> weights_;
  device::PinnedArray<float> host_weights_;
  bool host_is_current_ = false;  // host_weights_
  std::vector<State> states_;
  std::vector<device::DeviceArray<float>> gradients_;  // one slab for each piece; sums end up in some of them
  std::vector<comm::DevicePartial> partials_;          // those, of pieces that are shards
  std::vector<Sum> sums_;                              // of pieces that are shards, in order
  std::vector<std::int64_t> bucket_ends_;     // of gradients that are summed over the ranks, in floats
  std::optional<Sum> whole_sum_;              // where the mean needs no other rank's slice
  device::PinnedArray<float> gradient_copy_;  // for a look at one; made when it is needed
  device::DeviceArray<float> mean_;           // of the own part
  device::DeviceArray<device::UpdateArguments> arguments_;
  device::DeviceArray<device::StepFindings> findings_;  // by rank
  device::DeviceArray<float> gathered_;                 // new weights that may not be taken; or none

  DeviceReport report_;
  DeviceReport::Part<device::Totals> reported_totals_;
  DeviceReport::Part<std::uint32_t> flags_;   // of own blocks with a number that is not finite
  DeviceReport::Part<std::uint32_t> halted_;  // whether updates do not take place any more
  std::vector<device::Totals> totals_;        // by shard

  std::optional<data::Loader> loader_;
  std::optional<DeviceSamples> samples_;
  std::optional<DeviceHashes> hashes_;
  std::optional<MemoryCheck> memory_;
  std::optional<DeviceEngine> whole_engine_;  // for all that the rank has of a step
  std::optional<DeviceEngine> shard_engine_;  // for its shards, if they are ever computed by themselves

  std::map<std::vector<std::int64_t>, RepeatedWork> computations_;  // of pieces and their sums, by counts
  std::map<std::pair<Who, std::int64_t>, RepeatedWork> updates_;    // by samples of a step over all ranks
  std::vector<Room> rooms_;                                         // by DeviceSamples::Staged::slot

  Queued now_;                  // the step that was computed last
  std::optional<Queued> next_;  // that was begun behind it
  // By number, three: after a failure compute(n + 1) waits for that of step n, when those of n + 1 and n + 2
  // may be set already.
  std::vector<std::unique_ptr<device::Milestone>> updated_;
  std::int64_t last_update_ = 0;                 // its step
  int exceptions_ = std::uncaught_exceptions();  // under way when this was made
  bool update_pending_ = false;                  // what it left has not been reported
  bool hashes_are_current_ = false;              // hashes_->now()
};

}  // namespace lockstep::train
