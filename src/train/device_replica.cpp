#include "train/device_replica.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/fault.h"
#include "comm/collective.h"
#include "train/slab_hash.h"

namespace lockstep::train {
namespace {

Ownership ownership_of(const config::Experiment& experiment) {
  return experiment.training.reproducibility == config::Reproducibility::lockstep ? Ownership::slices
                                                                                  : Ownership::everything;
}

/// Samples of each of the shards in a step.
std::vector<std::int64_t> counts_of(const data::Stripes& stripes, Range shards, std::int64_t step) {
  std::vector<std::int64_t> counts;
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard)
    counts.push_back(stripes.rows(step, {shard, shard + 1}).size());
  return counts;
}

}  // namespace

DeviceReplica::DeviceReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
                             const data::Dataset& dataset)
    : world_(world),
      blueprint_(blueprint),
      accelerator_(*resources.accelerator),
      shards_(comm::shards_of_rank(blueprint.experiment.training.shards, world.size(), world.rank())),
      slab_size_(blueprint.network.parameters.slab_size()),
      collective_(comm::make_device_collective(world, accelerator_, slab_size_,
                                               blueprint.experiment.training.shards,
                                               blueprint.experiment.device.exchange)) {
  ownership_ = ownership_of(blueprint.experiment);
  owned_ = ownership_ == Ownership::slices ? collective_->own_slice() : Range{0, slab_size_};
  world.agree([&] { stream_ = accelerator_.make_stream(); });
  try {
    set_up(resources, dataset);
  } catch (...) {
    collective_->give_up(*stream_);
    throw;
  }
}

void DeviceReplica::set_up(const Resources& resources, const data::Dataset& dataset) {
  const config::Experiment& experiment = blueprint_.experiment;
  const data::Stripes stripes = blueprint_.train_stripes();
  world_.agree([&] {
    make_memory(accelerator_);
    samples_.emplace(accelerator_, *stream_, dataset, stripes, shards_,
                     static_cast<float>(experiment.data.scale), experiment.device.data);
    hashes_.emplace(accelerator_, slab_size_, owned_, states_.size());
    std::vector<optim::Optimizer::State> views;
    for (const State& state : states_) views.push_back({state.name, state.host.span()});
    memory_.emplace(blueprint_.network.parameters, ownership_, owned_, std::move(views), resources.workers,
                    experiment.checks.memory);
    hash_plans(resources.backend, stripes);
    make_plans(resources, stripes);
  });
}

/// What is queued still uses the memory. After a failure, other ranks may not be there any more.
DeviceReplica::~DeviceReplica() {
  try {
    if (std::uncaught_exceptions() > exceptions_) collective_->give_up(*stream_);
    for (const Branch& branch : branches_) branch.stream->synchronize();
    stream_->synchronize();
  } catch (const std::exception&) {
    return;  // it has failed, and so does nothing any more
  }
}

void DeviceReplica::make_memory(device::Accelerator& accelerator) {
  const std::int64_t own = owned_.size();
  const std::int64_t shards = shards_.size();
  weights_ = accelerator.make_array<float>(slab_size_);
  host_weights_ = accelerator.make_pinned<float>(slab_size_);
  for (std::string& name : optim::state_names(blueprint_.experiment.optimizer)) {
    State state{std::move(name), accelerator.make_array<float>(own), accelerator.make_pinned<float>(own)};
    std::ranges::fill(state.host.span(), 0.0F);
    stream_->clear(state.device.span().data, state.device.span().bytes());
    states_.push_back(std::move(state));
  }
  for (std::int64_t i = 0; i < shards; ++i) gradients_.push_back(accelerator.make_array<float>(slab_size_));
  for (const comm::Subtree& tree : comm::subtrees(shards_, blueprint_.experiment.training.shards))
    partials_.push_back({tree, gradients_[static_cast<std::size_t>(tree.first - shards_.begin)].span()});
  if (ownership_ == Ownership::everything) sum_ = accelerator.make_array<float>(slab_size_);
  mean_ = accelerator.make_array<float>(own);
  totals_ = accelerator.make_array<device::Totals>(shards);
  host_totals_ = accelerator.make_pinned<device::Totals>(shards);
  arguments_ = accelerator.make_array<device::UpdateArguments>(1);
  host_arguments_ = accelerator.make_pinned<device::UpdateArguments>(1);
  flags_ = accelerator.make_array<std::uint32_t>(own / Parameters::block);
  host_flags_ = accelerator.make_pinned<std::uint32_t>(own / Parameters::block);
  std::ranges::fill(host_flags_.span(), 0U);
  stream_->clear(flags_.span().data, flags_.span().bytes());
}

void DeviceReplica::make_plans(const Resources& resources, const data::Stripes& stripes) {
  for (const std::int64_t samples : shard_sizes(stripes, shards_)) {
    const auto chosen = resources.choices.find({device::Mode::training, samples});
    plans_[samples] = accelerator_.plan(blueprint_.network, samples, device::Mode::training,
                                        chosen == resources.choices.end() ? "" : chosen->second);
  }
  for (std::int64_t i = 0; i < branch_count(); ++i) {
    Branch branch{accelerator_.make_stream(), {}};
    for (const auto& [samples, plan] : plans_) branch.runners[samples] = plan->make_runner();
    branches_.push_back(std::move(branch));
  }
  for (const std::int64_t step : {std::int64_t{0}, stripes.steps() - 1})  // all but the last step are alike
    computations_.try_emplace(counts_of(stripes, shards_, step));
}

/// As many as there are shards, if they fit into what was free before there was anything else.
std::int64_t DeviceReplica::branch_count() const {
  const std::int64_t wanted = blueprint_.experiment.device.branches;
  if (wanted > 0) return std::min(wanted, shards_.size());
  std::int64_t of_one = 0;
  for (const auto& [samples, plan] : plans_) of_one += plan->runner_bytes();
  const std::int64_t slabs = (shards_.size() + 2) * slab_size_ * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t room = (accelerator_.facts().free_bytes - slabs) / 2;
  return std::clamp<std::int64_t>(room / std::max<std::int64_t>(of_one, 1), 1, shards_.size());
}

void DeviceReplica::hash_plans(device::Backend& backend, const data::Stripes& stripes) {
  const Parameters& parameters = blueprint_.network.parameters;
  const AlignedBuffer<float> weights(static_cast<std::size_t>(slab_size_));
  const AlignedBuffer<float> gradient(static_cast<std::size_t>(slab_size_));
  generate_weights(parameters, weights.span());
  for (const std::int64_t samples : shard_sizes(stripes, shards_)) {
    const auto plan = backend.plan(blueprint_.network, samples, device::Mode::training);
    plan->load_weights(weights.span());
    plan_hashes_.push_back(hash_plan(blueprint_.network, device::Mode::training, samples,
                                     *plan->make_runner(), gradient.span()));
  }
}

/// Queues what `work` queues on the stream.
template <class Work>
void DeviceReplica::repeat(Repeated& repeated, const Work& work) {
  if (!std::exchange(repeated.done_once, true)) return work();
  if (!repeated.graph) repeated.graph = stream_->capture(work);
  repeated.graph->launch(*stream_);
}

device::DeviceSpan<float> DeviceReplica::own_weights() const {
  return weights_.span().subspan(owned_.begin, owned_.size());
}

std::vector<device::DeviceSpan<float>> DeviceReplica::device_states() const {
  std::vector<device::DeviceSpan<float>> spans;
  for (const State& state : states_) spans.push_back(state.device.span());
  return spans;
}

// ---- Weights and state between host and device.

void DeviceReplica::wait() {
  collective_->wait(*stream_);
}

/// Whether what the other ranks wait for is done.
bool DeviceReplica::finish_update() noexcept {
  try {
    if (update_pending_) wait();
    return true;
  } catch (const std::exception&) {
    return false;  // of what is being reported
  }
}

/// Waits for the last update, and takes over what it wrote to the host.
void DeviceReplica::settle() {
  if (!update_pending_) return;
  wait();
  update_pending_ = false;
  memory_->record(hashes_->written());
}

std::span<const float> DeviceReplica::weights() {
  settle();
  if (host_is_current_) return host_weights_.span();
  device::copy_out<float>(*stream_, host_weights_.span(), weights_.span());
  if (looks_at_memory()) hashes_->queue_now(*stream_, weights_.span(), device_states());
  wait();
  if (looks_at_memory()) check_copy();
  host_is_current_ = true;
  return host_weights_.span();
}

/// What is evaluated and saved is the copy, which no other check sees.
void DeviceReplica::check_copy() const {
  const std::span<const std::uint64_t> hashes = hashes_->now().weights;
  const std::uint64_t sum = std::accumulate(hashes.begin(), hashes.end(), std::uint64_t{0});
  if (slab_hash(SlabKind::weights, 0, host_weights_.span()) != sum)
    fail(ExitCode::internal,
         "rank {} on {}: bits of the weights changed on their way from the device to the host: suspect the "
         "memory of either",
         world_.rank(), world_.hosts()[static_cast<std::size_t>(world_.rank())]);
}

bool DeviceReplica::looks_at_memory() const {
  return blueprint_.experiment.checks.memory != config::MemoryChecks::off;
}

void DeviceReplica::set_weights(std::span<const float> weights) {
  settle();
  check(std::ssize(weights) == slab_size_, "weights come as a whole slab");
  if (weights.data() != host_weights_.span().data()) std::ranges::copy(weights, host_weights_.span().begin());
  host_is_current_ = true;
  device::copy_in<float>(*stream_, weights_.span(), host_weights_.span());
  record();
}

std::vector<optim::Optimizer::State> DeviceReplica::state() {
  settle();
  std::vector<optim::Optimizer::State> views;
  for (const State& state : states_) {
    device::copy_out<float>(*stream_, state.host.span(), state.device.span());
    views.push_back({state.name, state.host.span()});
  }
  wait();
  return views;
}

void DeviceReplica::state_changed() {
  settle();
  for (const State& state : states_) device::copy_in<float>(*stream_, state.device.span(), state.host.span());
  record();
}

/// Weights and state are what they are to be.
void DeviceReplica::record() {
  hashes_->queue_written(*stream_, weights_.span(), device_states());
  wait();
  memory_->record(hashes_->written());
  hashes_are_current_ = false;
}

/// Brings weights and state to the host as they are now, whatever was recorded.
void DeviceReplica::fetch() {
  host_is_current_ = false;
  static_cast<void>(weights());
  static_cast<void>(state());
}

// ---- A step.

std::span<const device::Totals> DeviceReplica::compute(const data::Batch& batch, ShardWatch* watch) try {
  fault::stall(fault::Place::compute);
  Counts counts;
  for (const data::ShardBatch& shard : batch.shards) counts.push_back(shard.count);
  const auto computation = computations_.find(counts);
  check(computation != computations_.end(), "every way to cut a step was planned");
  samples_->stage(batch);
  if (watch != nullptr || fault::any()) {
    queue_shards(counts);
    wait();
    inspect_gradients(watch);
    queue_sums();
  } else {
    repeat(computation->second, [&] {
      queue_shards(counts);
      queue_sums();
    });
  }
  wait();
  settle();
  hashes_are_current_ = true;
  return host_totals_.span();
} catch (const std::exception& failure) {
  // The others still wait for this rank's part of the last update.
  if (finish_update()) throw;
  const auto* error = dynamic_cast<const Error*>(&failure);
  throw DeviceLost(error != nullptr ? error->code() : ExitCode::internal, failure.what());
}

void DeviceReplica::queue_shards(const Counts& counts) {
  samples_->queue_copies(*stream_);
  for (const Branch& branch : branches_) branch.stream->wait_for(*stream_);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const Branch& branch = branches_[i % branches_.size()];
    const device::DeviceSpan<float> gradient = gradients_[i].span();
    const auto totals = totals_.span().subspan(static_cast<std::int64_t>(i), 1);
    if (counts[i] == 0) {
      branch.stream->clear(gradient.data, gradient.bytes());
      branch.stream->clear(totals.data, totals.bytes());
      continue;
    }
    const device::DeviceShard shard = samples_->queue_shard(*branch.stream, i, counts[i]);
    branch.runners.at(counts[i])->train(*branch.stream, shard, weights_.span(), gradient, totals);
  }
  for (const Branch& branch : branches_) stream_->wait_for(*branch.stream);
  device::copy_out<device::Totals>(*stream_, host_totals_.span(), totals_.span());
}

/// Adds up complete subtrees, each into the slab of its first shard, and hashes what the update will change.
void DeviceReplica::queue_sums() {
  for (const comm::DevicePartial& partial : partials_) {
    const auto first = static_cast<std::size_t>(partial.tree.first - shards_.begin);
    const auto count = static_cast<std::size_t>(partial.tree.count);
    for (std::size_t width = 1; width < count; width *= 2)
      for (std::size_t left = first; left < first + count; left += 2 * width)
        accelerator_.add(*stream_, gradients_[left].span(), gradients_[left + width].span(),
                         gradients_[left].span());
  }
  if (looks_at_memory()) hashes_->queue_now(*stream_, weights_.span(), device_states());
}

/// Between the shards and their sums: faults on purpose, and what is watched.
void DeviceReplica::inspect_gradients(ShardWatch* watch) {
  if (gradient_copy_.span().empty()) gradient_copy_ = accelerator_.make_pinned<float>(slab_size_);
  const std::span<float> copy = gradient_copy_.span();
  for (std::size_t i = 0; i < gradients_.size(); ++i) {
    const std::int64_t shard = shards_.begin + static_cast<std::int64_t>(i);
    const bool is_watched = watch != nullptr && watch->shard == shard;
    if (!is_watched && !fault::any()) continue;
    device::copy_out<float>(*stream_, copy, gradients_[i].span());
    wait();
    fault::damage_gradient(shards_, shard, copy);
    if (is_watched) watch->hash = result_hash(copy, host_totals_.span()[i]);
    device::copy_in<float>(*stream_, gradients_[i].span(), copy);
    wait();
  }
}

void DeviceReplica::update(std::int64_t step, double learning_rate, std::int64_t samples) {
  fault::stall(fault::Place::exchange);
  device::UpdateArguments& arguments = host_arguments_.span()[0];
  arguments.samples = static_cast<float>(samples);
  const config::Optimizer& optimizer = blueprint_.experiment.optimizer;
  if (const auto* sgd = std::get_if<config::Sgd>(&optimizer))
    arguments.sgd = optim::sgd_arguments(*sgd, learning_rate);
  else
    arguments.adamw = optim::adamw_arguments(std::get<config::AdamW>(optimizer), step, learning_rate);

  world_.activity().enter(comm::Phase::exchanging);
  if (collective_->only_queues())
    repeat(update_, [&] { queue_update(); });
  else
    queue_update();
  update_pending_ = true;
  host_is_current_ = hashes_are_current_ = false;
  world_.activity().enter(comm::Phase::reporting);
}

void DeviceReplica::queue_update() {
  device::copy_in<device::UpdateArguments>(*stream_, arguments_.span(), host_arguments_.span());
  if (ownership_ == Ownership::slices) {
    const auto partials = collective_->exchange(*stream_, partials_);
    std::vector<comm::Subtree> trees;
    std::vector<device::DeviceSpan<const float>> slices;
    for (const comm::DeviceSlicePartial& partial : partials) {
      trees.push_back(partial.tree);
      slices.push_back(partial.slice);
    }
    accelerator_.mean(*stream_, slices, comm::tree_additions(trees, blueprint_.experiment.training.shards),
                      arguments_.span(), mean_.span());
  } else {
    device::copy<float>(*stream_, sum_.span(), partials_.front().slab);
    for (const comm::DevicePartial& partial : std::span(partials_).subspan(1))
      accelerator_.add(*stream_, sum_.span(), partial.slab, sum_.span());
    collective_->all_reduce(*stream_, sum_.span());
    const device::DeviceSpan<const float> sum = sum_.span();
    accelerator_.mean(*stream_, {&sum, 1}, {}, arguments_.span(), mean_.span());
  }
  queue_optimizer();
  hashes_->queue_written(*stream_, weights_.span(), device_states());
  device::copy_out<std::uint32_t>(*stream_, host_flags_.span(), flags_.span());
  if (ownership_ == Ownership::slices) collective_->all_gather(*stream_, weights_.span());
}

void DeviceReplica::queue_optimizer() {
  const device::DeviceSpan<const device::UpdateArguments> arguments = arguments_.span();
  if (std::holds_alternative<config::Sgd>(blueprint_.experiment.optimizer)) {
    const bool momentum = !states_.empty();
    accelerator_.sgd_update(*stream_, arguments, own_weights(), mean_.span(),
                            momentum ? states_[0].device.span() : device::DeviceSpan<float>(), momentum,
                            flags_.span());
  } else {
    accelerator_.adamw_update(*stream_, arguments, own_weights(), mean_.span(), states_[0].device.span(),
                              states_[1].device.span(), flags_.span());
  }
}

}  // namespace lockstep::train
