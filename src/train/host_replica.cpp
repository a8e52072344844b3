#include "train/host_replica.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "train/faults.h"

namespace lockstep::train {
namespace {

Ownership ownership_of(const config::Experiment& experiment) {
  return experiment.training.reproducibility == config::Reproducibility::lockstep ? Ownership::slices
                                                                                  : Ownership::everything;
}

Range shards_of(const comm::World& world, const Blueprint& blueprint) {
  return comm::shards_of_rank(blueprint.experiment.training.shards, world.size(), world.rank());
}

std::unique_ptr<ShardEngine> make_engine(comm::World& world, const Blueprint& blueprint,
                                         const comm::Collective& collective, const Resources& resources) {
  std::unique_ptr<ShardEngine> engine;
  world.agree([&] {
    engine = std::make_unique<ShardEngine>(resources.backend, blueprint.network, device::Mode::training,
                                           blueprint.train_stripes(), shards_of(world, blueprint),
                                           resources.workers, collective.team().size);
  });
  return engine;
}

/// The slabs of the tree, as many on every rank as the one that needs the most.
std::vector<std::span<float>> tree_slabs(comm::World& world, comm::Collective& collective, Range shards,
                                         std::int64_t total_shards, int workers, const Grouping& grouping) {
  std::int64_t needed = slabs_with_shared(shards, total_shards, workers, grouping, collective.team().size);
  world.max({&needed, 1});
  std::vector<std::span<float>> slabs;
  for (std::int64_t i = 0; i < needed; ++i) slabs.push_back(collective.make_slab());
  return slabs;
}

std::unique_ptr<optim::Optimizer> make_optimizer(comm::World& world, const Blueprint& blueprint,
                                                 device::Backend& backend, Range owned) {
  std::unique_ptr<optim::Optimizer> optimizer;
  world.agree([&] { optimizer = optim::make_optimizer(blueprint.experiment.optimizer, backend, owned); });
  return optimizer;
}

}  // namespace

HostReplica::HostReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
                         const data::Dataset& dataset)
    : world_(world),
      collective_(comm::make_collective(world, blueprint.network.parameters.slab_size(),
                                        blueprint.experiment.training.shards)),
      weights_(collective_->make_slab()),
      reducer_(comm::make_gradient_reducer(blueprint.experiment.training.reproducibility, *collective_,
                                           blueprint.network.parameters.slab_size(),
                                           blueprint.experiment.training.shards)),
      joint_(resources.backend.joint_gradients(blueprint.network)),
      engine_(make_engine(world, blueprint, *collective_, resources)),
      tree_(shards_of(world, blueprint), blueprint.experiment.training.shards,
            tree_slabs(world, *collective_, shards_of(world, blueprint), blueprint.experiment.training.shards,
                       resources.workers.size(), engine_->grouping()),
            joint_ ? joint_->ranges() : std::span<const Range>()),
      optimizer_(make_optimizer(world, blueprint, resources.backend, reducer_->owned())),
      memory_(blueprint.network.parameters, ownership_of(blueprint.experiment), reducer_->owned(),
              optimizer_->state(), resources.workers, blueprint.experiment.checks.memory),
      updater_(*reducer_, *optimizer_, memory_, resources.workers) {
  ownership_ = ownership_of(blueprint.experiment);
  owned_ = reducer_->owned();
  world.agree([&] {
    if (joint_) engine_->join(*joint_);
    if (resources.profile != nullptr) engine_->measure(*resources.profile);
    hash_plans(blueprint.network.parameters);
    loader_.emplace(dataset, blueprint.train_sampler(), static_cast<float>(blueprint.experiment.data.scale),
                    shards_of(world, blueprint), resources.workers.size(), data::Faults::as_armed,
                    augmentation(blueprint));
  });
  engine_->share_packing(*collective_, ownership_);
  engine_->share_joint_gradients(*collective_, ownership_);
  engine_->share_shards(*collective_);
}

/// With the slabs that the training has anyway: their contents come later. The rank packs for itself here, so
/// that one that does it wrong is found.
void HostReplica::hash_plans(const Parameters& parameters) {
  generate_weights(parameters, weights_);
  engine_->weights_changed(weights_);
  tree_.reset();
  plan_hashes_ = engine_->hash_plans(tree_.take_slab());
}

/// Collective. All ranks have waited for each other since any of them computed a shard.
void HostReplica::weights_changed() {
  comm::Activity& activity = world_.activity();
  const comm::Phase before = activity.phase();
  activity.enter(comm::Phase::packing);
  engine_->weights_changed(weights_);
  activity.enter(before);
}

void HostReplica::set_weights(std::span<const float> weights) {
  check(weights.size() == weights_.size(), "weights come as a whole slab");
  if (weights.data() != weights_.data()) std::ranges::copy(weights, weights_.begin());
  world_.barrier();  // see ShardEngine::weights_changed()
  weights_changed();
  state_changed();
}

/// Takes the own part of the weights along, which is as it was.
void HostReplica::state_changed() {
  has_looked_ = false;
  memory_.record(owned_.begin, weights_.subspan(static_cast<std::size_t>(owned_.begin),
                                                static_cast<std::size_t>(owned_.size())));
}

/// A rank that fails here computes nothing in this step.
const data::Batch& HostReplica::next_batch() {
  try {
    return loader_->next();
  } catch (...) {
    engine_->stay_away();
    throw;
  }
}

std::span<const device::Totals> HostReplica::compute(const Step& step, ShardWatch* watch) {
  step_ = step;
  tree_.reset();
  has_looked_ = false;
  memory_.begin_look(weights_);
  const SideWork fetch{
      .pieces = loader_->pieces_ahead(),
      .run = [this](std::int64_t piece, int worker) { loader_->gather_ahead(piece, worker); },
      .time = &WorkerTimes::fetching};
  const SideWork look{.pieces = memory_.look_pieces(),
                      .run = [this](std::int64_t piece, int worker) { memory_.look_at(piece, worker); },
                      .time = &WorkerTimes::checking};
  // The look comes last, near the update, before which memory should not change any more.
  // Nothing before this may throw: a rank that does not come here leaves its team waiting.
  const auto totals = engine_->train(*step.batch, tree_, watch, std::array{fetch, look});
  has_looked_ = true;
  return totals;
}

/// The workers did it while they waited for each other in compute(), if that has just run.
MemoryHashes HostReplica::look() {
  return std::exchange(has_looked_, false) ? memory_.end_look() : memory_.look(weights_);
}

void HostReplica::update() {
  has_looked_ = false;
  optimizer_->begin_step(step_.number, step_.learning_rate);
  not_finite_ =
      updater_.apply(tree_.partials(), engine_->complete_sums(), step_.batch->global_samples, weights_);
  if (engine_->packs_together())
    reducer_->hand_on(weights_);
  else
    reducer_->end(weights_);
  weights_changed();  // the step's status came before the update
}

void HostReplica::repair(std::int64_t step) {
  memory_.repair(world_, weights_, step);
  world_.barrier();  // see ShardEngine::weights_changed()
  weights_changed();
}

void HostReplica::flip_memory() {
  if (!fault::any()) return;
  train::flip_memory(weights_, owned_, optimizer_->state());
  has_looked_ = false;  // for what was flipped just now
}

}  // namespace lockstep::train
