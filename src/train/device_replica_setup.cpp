// A device's replica before its first step: memory, plans, and in which order gradients are added.
#include <algorithm>
#include <numeric>

#include "base/aligned_buffer.h"
#include "comm/collective.h"
#include "train/device_replica.h"

namespace lockstep::train {
namespace {

Ownership ownership_of(const config::Experiment& experiment) {
  return experiment.training.reproducibility == config::Reproducibility::lockstep ? Ownership::slices
                                                                                  : Ownership::everything;
}

/// Where buckets of gradients end: at ends of tensors, so that each is finished at one moment. They are large
/// enough that messages take longer than to begin them does, and small enough that the first is on its way
/// early.
std::vector<std::int64_t> bucket_ends_of(const Parameters& parameters) {
  constexpr std::int64_t most_floats = std::int64_t{1} << 20U;
  const std::int64_t size = std::min(most_floats, parameters.slab_size() / 4);
  std::vector<std::int64_t> ends{0};
  for (const Parameter& next : parameters.all())
    if (next.offset - ends.back() >= size) ends.push_back(next.offset);
  ends.push_back(parameters.slab_size());
  ends.erase(ends.begin());
  return ends;
}

/// Of so many consecutive shards, which are a whole tree.
std::vector<device::TreeAddition> additions_of(std::int64_t shards) {
  std::vector<comm::Subtree> leaves;
  for (std::int64_t shard = 0; shard < shards; ++shard) leaves.push_back({.first = shard, .count = 1});
  return comm::tree_additions(leaves, shards);
}

}  // namespace

DeviceReplica::DeviceReplica(comm::World& world, const Blueprint& blueprint, const Resources& resources,
                             const data::Dataset& dataset)
    : world_(world),
      blueprint_(blueprint),
      accelerator_(*resources.accelerator),
      choices_(resources.choices),
      shards_(comm::shards_of_rank(blueprint.experiment.training.shards, world.size(), world.rank())),
      slab_size_(blueprint.network.parameters.slab_size()),
      collective_(comm::make_device_collective(world, accelerator_, slab_size_,
                                               blueprint.experiment.training.shards,
                                               blueprint.experiment.device.exchange)) {
  ownership_ = ownership_of(blueprint.experiment);
  owned_ = ownership_ == Ownership::slices ? collective_->own_slice() : Range{0, slab_size_};
  world.agree([&] {
    stream_ = accelerator_.make_stream();
    side_ = accelerator_.make_stream();
    buckets_ = accelerator_.make_stream();
  });
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
    make_memory();
    samples_.emplace(accelerator_, *stream_, dataset, stripes, shards_,
                     static_cast<float>(experiment.data.scale), experiment.device.data,
                     accelerator_.facts().free_bytes / 2, experiment.data.augment.has_value());
    std::vector<optim::Optimizer::State> views;
    for (const State& state : states_) views.push_back({state.name, state.host.span()});
    memory_.emplace(blueprint_.network.parameters, ownership_, owned_, std::move(views), resources.workers,
                    experiment.checks.memory);
    hash_plans(resources.backend, stripes);
    make_engines(stripes);
    loader_.emplace(dataset, blueprint_.train_sampler(), static_cast<float>(experiment.data.scale), shards_,
                    data::Loader::default_slots, data::Faults::as_armed,
                    has_images() ? data::Images::left : data::Images::gathered, augmentation(blueprint_));
  });
  if (ownership_ == Ownership::everything) make_buckets();
}

void DeviceReplica::make_buckets() {
  bucket_ends_ = collective_->only_queues() ? bucket_ends_of(blueprint_.network.parameters)
                                            : std::vector<std::int64_t>{slab_size_};
  std::vector<std::int64_t> sizes(bucket_ends_.size());
  std::adjacent_difference(bucket_ends_.begin(), bucket_ends_.end(), sizes.begin());
  collective_->prepare_sums(sizes);
}

void DeviceReplica::make_memory() {
  const std::int64_t own = owned_.size();
  weights_ = accelerator_.make_array<float>(slab_size_);
  host_weights_ = accelerator_.make_pinned<float>(slab_size_);
  for (std::string& name : optim::state_names(blueprint_.experiment.optimizer)) {
    State state{std::move(name), accelerator_.make_array<float>(own), accelerator_.make_pinned<float>(own)};
    std::ranges::fill(state.host.span(), 0.0F);
    stream_->clear(state.device.span().data, state.device.span().bytes());
    states_.push_back(std::move(state));
  }
  mean_ = accelerator_.make_array<float>(own);
  arguments_ = accelerator_.make_array<device::UpdateArguments>(1);
  if (runs_ahead() && world_.size() > 1 && ownership_ == Ownership::slices)
    gathered_ = accelerator_.make_array<float>(slab_size_);
  findings_ = accelerator_.make_array<device::StepFindings>(world_.size());
  for (int room = 0; room < 2; ++room)
    rooms_.push_back({stream_->make_milestone(), accelerator_.make_pinned<device::UpdateArguments>(1)});
  for (int step = 0; step < 3; ++step) updated_.push_back(stream_->make_milestone());

  reported_totals_ = report_.add<device::Totals>(shards_.size());
  flags_ = report_.add<std::uint32_t>(own / Parameters::block);
  halted_ = report_.add<std::uint32_t>(1);
  hashes_.emplace(accelerator_, report_, slab_size_, owned_, states_.size());
  report_.allocate(accelerator_, *stream_);
  totals_.resize(static_cast<std::size_t>(shards_.size()));
}

void DeviceReplica::make_engines(const data::Stripes& stripes) {
  const config::Experiment& experiment = blueprint_.experiment;
  if (pieces_of(experiment) == Pieces::shards) {
    make_sums();
    return make_shard_engine(stripes, experiment.device.branches);
  }
  make_gradients(1);
  whole_sum_ = Sum{.terms = {gradients_.front().span()}, .additions = {}, .into = mean_.span()};
  whole_engine_.emplace(accelerator_, blueprint_.network, device::Mode::training,
                        piece_sizes(stripes, shards_, Pieces::whole), choices_,
                        /*pieces=*/1, /*branches=*/1, /*room=*/0);
  if (experiment.checks.arithmetic_every > 0) make_shard_engine(stripes, /*branches=*/1);
}

void DeviceReplica::make_gradients(std::int64_t count) {
  while (std::ssize(gradients_) < count) gradients_.push_back(accelerator_.make_array<float>(slab_size_));
}

void DeviceReplica::make_shard_engine(const data::Stripes& stripes, std::int64_t branches) {
  // Beside the slabs of all this, branches take what was free before there was anything else.
  const std::int64_t slabs = (shards_.size() + 2) * weights_.span().bytes();
  shard_engine_.emplace(accelerator_, blueprint_.network, device::Mode::training,
                        piece_sizes(stripes, shards_, Pieces::shards), choices_, shards_.size(), branches,
                        accelerator_.facts().free_bytes - slabs);
}

/// Complete subtrees are added up in the slabs of their first shards, and where ranks exchange no slices,
/// those in the first of them.
void DeviceReplica::make_sums() {
  make_gradients(shards_.size());
  for (const comm::Subtree& tree : comm::subtrees(shards_, blueprint_.experiment.training.shards)) {
    const auto first = static_cast<std::size_t>(tree.first - shards_.begin);
    partials_.push_back({tree, gradients_[first].span()});
    plan_tree(tree);
  }
  if (ownership_ == Ownership::slices || partials_.size() == 1) return;
  Sum sum{.terms = {}, .additions = {}, .into = gradients_.front().span()};
  for (const comm::DevicePartial& partial : partials_) {
    if (!sum.terms.empty()) sum.additions.push_back({.into = 0, .from = static_cast<int>(sum.terms.size())});
    sum.terms.push_back(partial.slab);
  }
  sums_.push_back(std::move(sum));
}

/// In levels, so that the program of a sum is short. One rank alone leaves the last to the mean.
void DeviceReplica::plan_tree(const comm::Subtree& tree) {
  constexpr std::int64_t most_terms = 64;
  const bool alone = world_.size() == 1 && ownership_ == Ownership::slices;
  const std::int64_t begin = tree.first - shards_.begin;
  for (std::int64_t stride = 1; stride < tree.count || (alone && stride == 1); stride *= most_terms) {
    const std::int64_t terms = std::min(most_terms, tree.count / stride);
    for (std::int64_t first = begin; first < begin + tree.count; first += stride * terms) {
      Sum sum{.terms = {},
              .additions = additions_of(terms),
              .into = gradients_[static_cast<std::size_t>(first)].span()};
      for (std::int64_t i = 0; i < terms; ++i)
        sum.terms.emplace_back(gradients_[static_cast<std::size_t>(first + i * stride)].span());
      if (alone && stride * terms == tree.count) {
        sum.into = mean_.span();
        whole_sum_ = std::move(sum);
        return;
      }
      sums_.push_back(std::move(sum));
    }
  }
}

/// Of single shards, whichever pieces it trains with: the hashes depend on no number of ranks.
void DeviceReplica::hash_plans(device::Backend& backend, const data::Stripes& stripes) {
  const AlignedBuffer<float> weights(static_cast<std::size_t>(slab_size_));
  const AlignedBuffer<float> gradient(static_cast<std::size_t>(slab_size_));
  generate_weights(blueprint_.network.parameters, weights.span());
  plan_hashes_ = train::hash_plans(backend, blueprint_.network, device::Mode::training,
                                   shard_sizes(stripes, shards_), weights.span(), gradient.span());
}

}  // namespace lockstep::train
