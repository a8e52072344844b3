#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/collective.h"
#include "comm/gradient_reducer.h"
#include "comm/local_tree.h"
#include "data/step_loader.h"
#include "train/replica.h"
#include "train/updater.h"

namespace lockstep::train {

/// A replica in the host's memory, computed by a Backend on the rank's worker threads.
class HostReplica final : public Replica {
 public:
  /// Collective; throws on all ranks if any of them fails.
  HostReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
              const data::Dataset& dataset);

  [[nodiscard]] std::string exchange() const override { return std::string(collective_->name()); }
  [[nodiscard]] std::int64_t bytes_per_step() const override { return collective_->bytes_per_step(); }
  [[nodiscard]] std::span<const float> weights() override { return weights_; }
  void set_weights(std::span<const float> weights) override;
  [[nodiscard]] std::vector<optim::Optimizer::State> state() override { return optimizer_->state(); }
  void state_changed() override;
  void start_batches(std::int64_t epoch, std::int64_t step) override { loader_->start(epoch, step); }
  const data::Batch& next_batch() override;
  std::span<const device::Totals> compute(const Step& step, ShardWatch* watch) override;
  void update() override;
  [[nodiscard]] bool diverged() override { return not_finite_.has_value(); }
  [[nodiscard]] std::optional<NotFinite> not_finite() override { return not_finite_; }
  [[nodiscard]] MemoryHashes look() override;
  void repair(std::int64_t step) override;
  [[nodiscard]] std::uint64_t recorded_state() const override { return memory_.recorded_state(); }
  void flip_memory() override;

 private:
  void hash_plans(const Parameters& parameters);
  void weights_changed();

  comm::World& world_;
  std::unique_ptr<comm::Collective> collective_;
  std::span<float> weights_;
  std::unique_ptr<comm::GradientReducer> reducer_;
  std::unique_ptr<device::JointGradients> joint_;  ///< null where there are none
  std::unique_ptr<ShardEngine> engine_;
  comm::LocalTree tree_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  MemoryCheck memory_;
  Updater updater_;
  std::optional<data::StepLoader> loader_;
  Step step_;                ///< computed last
  bool has_looked_ = false;  ///< at the memory, in compute()
  std::optional<NotFinite> not_finite_;
};

}  // namespace lockstep::train
