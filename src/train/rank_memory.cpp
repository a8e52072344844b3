#include "train/rank_memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <variant>

#include "comm/collective.h"
#include "comm/local_tree.h"
#include "data/loader.h"
#include "data/step_loader.h"
#include "train/joint_shards.h"
#include "train/pieces.h"
#include "train/shard_engine.h"

namespace lockstep::train {
namespace {

constexpr std::int64_t float_bytes = sizeof(float);

std::int64_t bytes_of_rows(const data::DatasetInfo& info, std::int64_t rows) {
  const auto image_bytes = info.image.count() * static_cast<std::int64_t>(size_of(info.image_type));
  return rows * (image_bytes + static_cast<std::int64_t>(sizeof(std::int32_t)));
}

/// An image as floats, its label and its row.
std::int64_t sample_bytes(const Shape& image) {
  return image.count() * float_bytes + static_cast<std::int64_t>(sizeof(std::int32_t) + sizeof(std::int64_t));
}

/// Of the batches that a loader has in hand.
std::int64_t loader_bytes(const data::Stripes& stripes, Range shards, const Shape& image,
                          int slots = data::Loader::default_slots) {
  return slots * stripes.rows(0, shards).size() * sample_bytes(image);
}

std::int64_t optimizer_slabs(const config::Optimizer& optimizer) {
  if (const auto* sgd = std::get_if<config::Sgd>(&optimizer)) return sgd->momentum > 0 ? 1 : 0;
  return 2;  // adamw: both moments
}

/// Of weights packed for kernels, one copy.
std::int64_t packed_bytes(const device::Network& network, device::Backend& backend, device::Mode mode) {
  return backend.plan(network, 1, mode)->packing().floats * float_bytes;
}

/// Without packed weights, which many plans share.
std::int64_t engine_bytes(const device::Network& network, device::Backend& backend, device::Mode mode,
                          const data::Stripes& stripes, Range shards, std::int64_t runners,
                          const Grouping& grouping = {}, Pieces pieces = Pieces::shards) {
  std::int64_t total = 0;
  for (const std::int64_t samples : piece_sizes(stripes, shards, pieces)) {
    const auto plan = backend.plan(network, samples, mode);
    total += plan->shared_bytes();
    total += grouping.size > 1 ? plan->group_runner_bytes(grouping.places(), static_cast<int>(runners))
                               : plan->runner_bytes() * runners;
  }
  return total;
}

/// How the workers of each rank take its shards in training, on CPUs.
struct Workers {
  std::vector<Grouping> groupings;  ///< by rank
  int slabs = 0;                    ///< on every rank as many as the one that needs the most
};

/// `team`: ranks of a host.
Workers plan_workers(const Blueprint& blueprint, device::Backend& backend,
                     std::span<const std::int64_t> threads, int team) {
  const data::Stripes stripes = blueprint.train_stripes();
  const int ranks = static_cast<int>(threads.size());
  std::map<std::int64_t, std::unique_ptr<device::Plan>> plans;  // by samples
  Workers workers;
  for (int rank = 0; rank < ranks; ++rank) {
    const Range shards = comm::shards_of_rank(stripes.shards(), ranks, rank);
    const std::vector<std::int64_t> sizes = shard_sizes(stripes, shards);
    const std::int64_t count = threads[static_cast<std::size_t>(rank)];
    Grouping grouping;
    if (!sizes.empty()) {
      std::unique_ptr<device::Plan>& plan = plans[sizes.front()];
      if (!plan) plan = backend.plan(blueprint.network, sizes.front(), device::Mode::training);
      grouping = group_shards(*plan, shards, count, team);
    }
    workers.groupings.push_back(grouping);
    workers.slabs = std::max(
        workers.slabs, slabs_with_shared(shards, stripes.shards(), static_cast<int>(count), grouping, team));
  }
  return workers;
}

/// What shards keep for gradients of all of them together, and one rank the sums over all ranks if it
/// `completes` them.
std::int64_t joint_bytes(const device::Network& network, device::Backend& backend,
                         const data::Stripes& stripes, Range shards, bool completes) {
  const auto joint = backend.joint_gradients(network);
  if (!joint) return 0;
  const std::vector<std::int64_t> sizes = shard_sizes(stripes, shards);
  const std::int64_t kept =
      sizes.empty() ? 0 : shards.size() * joint->kept_floats(sizes.front()) * float_bytes;
  return kept + (completes ? JointShards::complete_floats(*joint) * float_bytes : 0);
}

/// To compute any shard again, on one thread: an ArithmeticCheck.
std::int64_t check_bytes(const Blueprint& blueprint, device::Backend& backend, const data::Stripes& stripes,
                         int ranks) {
  if (blueprint.experiment.checks.arithmetic_every == 0) return 0;
  const Range all{0, stripes.shards()};
  const std::int64_t received =
      ranks == 1 ? 0 : shard_sizes(stripes, all).front() * sample_bytes(blueprint.train.image);
  return engine_bytes(blueprint.network, backend, device::Mode::training, stripes, all, 1) +
         packed_bytes(blueprint.network, backend, device::Mode::training) +
         blueprint.network.parameters.slab_size() * float_bytes + received;
}

}  // namespace

RankMemory rank_memory(const Blueprint& blueprint, device::Backend& backend,
                       std::span<const std::int64_t> threads, int rank) {
  const int ranks = static_cast<int>(threads.size());
  const std::int64_t own_threads = threads[static_cast<std::size_t>(rank)];
  const config::Training& training = blueprint.experiment.training;
  const bool is_lockstep = training.reproducibility == config::Reproducibility::lockstep;
  const Range shards = comm::shards_of_rank(training.shards, ranks, rank);
  const data::Stripes stripes = blueprint.train_stripes();
  const std::int64_t slab = blueprint.network.parameters.slab_size();
  const std::int64_t slice = comm::slice_of_rank(slab, ranks, rank).size();

  RankMemory memory;
  const bool keeps_all = blueprint.experiment.data.shuffle == config::Shuffle::global;
  memory.data = bytes_of_rows(blueprint.train, keeps_all ? stripes.samples() : stripes.stripe_rows(shards));
  const bool averages = training.average.has_value();
  memory.weights = (averages ? 2 : 1) * slab * float_bytes;
  const bool on_gpu = blueprint.experiment.device.kind == config::DeviceKind::cuda;
  memory.batches = loader_bytes(stripes, shards, blueprint.train.image,
                                on_gpu ? data::Loader::default_slots : data::StepLoader::slots);
  // A GPU keeps the gradient of each shard, or of all that it computes at once, and the mean of its own part.
  std::int64_t runners = own_threads, gradient_slabs = 0;
  if (on_gpu) {
    const std::int64_t branches = blueprint.experiment.device.branches;
    runners = std::min(branches == 0 ? shards.size() : branches, shards.size());
    gradient_slabs = is_lockstep ? shards.size() : 1;
  } else {
    // Which ranks share a host is not known: what takes more counts.
    std::int64_t most = 0;
    for (const int team : {1, ranks}) {
      const Workers workers = plan_workers(blueprint, backend, threads, team);
      const Grouping& grouping = workers.groupings[static_cast<std::size_t>(rank)];
      gradient_slabs = std::max<std::int64_t>(gradient_slabs, workers.slabs);
      most = std::max(most, engine_bytes(blueprint.network, backend, device::Mode::training, stripes, shards,
                                         runners, grouping) +
                                SharedShards::bytes(stripes, shards_to_share(shards, grouping, team),
                                                    blueprint.train.image.count()));
    }
    const bool completes = is_lockstep && ranks > 1 && rank == 0;
    memory.activations = most + joint_bytes(blueprint.network, backend, stripes, shards, completes);
  }
  memory.gradients = (gradient_slabs + (is_lockstep || on_gpu ? 0 : 1)) * slab * float_bytes;
  if (on_gpu) memory.gradients += (is_lockstep ? slice : slab) * float_bytes;
  memory.optimizer =
      optimizer_slabs(blueprint.experiment.optimizer) * (is_lockstep ? slice : slab) * float_bytes;
  if (on_gpu && !is_lockstep) {
    memory.activations += engine_bytes(blueprint.network, backend, device::Mode::training, stripes, shards,
                                       /*runners=*/1, Grouping(), Pieces::whole);
    runners = blueprint.experiment.checks.arithmetic_every > 0 ? 1 : 0;
  }
  if (on_gpu)
    memory.activations +=
        engine_bytes(blueprint.network, backend, device::Mode::training, stripes, shards, runners);
  const bool has_samples = !shard_sizes(stripes, shards).empty();
  if (on_gpu ? has_samples : rank == 0)
    memory.activations += packed_bytes(blueprint.network, backend, device::Mode::training);
  if (!on_gpu && !has_samples)  // it helps to pack, with a plan
    memory.activations += backend.plan(blueprint.network, 1, device::Mode::training)->shared_bytes();
  memory.checks = check_bytes(blueprint, backend, stripes, ranks);
  if (blueprint.validation) {
    const data::Stripes validation = blueprint.validation_stripes();
    memory.data += bytes_of_rows(*blueprint.validation, validation.stripe_rows(shards));
    memory.batches += loader_bytes(validation, shards, blueprint.validation->image);
    memory.activations += engine_bytes(blueprint.network, backend, device::Mode::evaluation, validation,
                                       shards, threads[static_cast<std::size_t>(rank)]);
    if (!shard_sizes(validation, shards).empty())
      memory.activations += packed_bytes(blueprint.network, backend, device::Mode::evaluation);
  }
  return memory;
}

}  // namespace lockstep::train
