#include "train/cores.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "comm/collective.h"

namespace lockstep::train {
namespace {

cpu_set_t own_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) CPU_SET(0, &mask);  // more cores than the mask can name
  return mask;
}

std::int64_t overlapping(const cpu_set_t& a, const cpu_set_t& b) {
  cpu_set_t both;
  CPU_AND(&both, &a, &b);
  return CPU_COUNT(&both);
}

std::int64_t threads_for(const config::Experiment& experiment, std::int64_t share, Range shards) {
  const std::int64_t wanted = experiment.device.threads > 0 ? experiment.device.threads : share;
  return std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(shards.size(), 1));
}

std::string advice_for(const config::Experiment& experiment, int ranks) {
  if (experiment.device.threads > 0) return "device.threads=auto";
  if (ranks < experiment.training.shards) return "more ranks (mpirun -n), or check mpirun's --bind-to";
  return "a larger training.shards, which changes the order of additions and so the run's bits";
}

}  // namespace

std::int64_t cores_available() {
  const cpu_set_t mask = own_mask();
  return CPU_COUNT(&mask);
}

std::int64_t threads_on_one_host(const config::Experiment& experiment, std::int64_t cores, int ranks,
                                 int rank) {
  return threads_for(experiment, cores / ranks,
                     comm::shards_of_rank(experiment.training.shards, ranks, rank));
}

CoreUse divide_cores(comm::World& world, const config::Experiment& experiment) {
  const cpu_set_t mine = own_mask();
  const auto all = world.all_gather_bytes(std::as_bytes(std::span(&mine, 1)));
  std::vector<cpu_set_t> masks(all.size());
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    std::memcpy(&masks[rank], all[rank].data(), sizeof mine);

  CoreUse use;
  std::map<std::string, cpu_set_t> host_masks;
  std::int64_t used = 0;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto at = static_cast<std::size_t>(rank);
    std::int64_t sharing = 0;
    for (std::size_t other = 0; other < masks.size(); ++other)
      if (world.hosts()[other] == world.hosts()[at] && overlapping(masks[at], masks[other]) > 0) ++sharing;
    const std::int64_t threads =
        threads_for(experiment, CPU_COUNT(&masks[at]) / sharing,
                    comm::shards_of_rank(experiment.training.shards, world.size(), rank));
    if (rank == world.rank()) use.threads = threads;
    use.max_threads = std::max(use.max_threads, threads);
    used += threads;

    auto [host, is_new] = host_masks.try_emplace(world.hosts()[at], masks[at]);
    if (!is_new) CPU_OR(&host->second, &host->second, &masks[at]);
  }
  std::int64_t cores = 0;
  for (const auto& [host, mask] : host_masks) cores += CPU_COUNT(&mask);
  use.idle = std::max<std::int64_t>(cores - used, 0);
  if (use.idle > 0) use.advice = advice_for(experiment, world.size());
  return use;
}

}  // namespace lockstep::train
