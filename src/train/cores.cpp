#include "train/cores.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "comm/collective.h"
#include "train/process.h"

namespace lockstep::train {
namespace {

cpu_set_t own_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) CPU_SET(0, &mask);  // more cores than the mask can name
  return mask;
}

/// What this process may use, and what it could if mpirun had not bound it: mpirun, or its daemon on another
/// host, is the parent, unless a wrapper that is bound too stands in between.
struct Masks {
  cpu_set_t own;
  cpu_set_t unbound;
};

Masks masks() {
  const cpu_set_t own = own_mask();
  cpu_set_t unbound = own;
  if (was_started_with("OMPI_COMM_WORLD_RANK")) {
    cpu_set_t parents;
    if (sched_getaffinity(getppid(), sizeof parents, &parents) == 0) CPU_OR(&unbound, &unbound, &parents);
  }
  return {own, unbound};
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

std::string advice_for(const config::Experiment& experiment, int ranks, bool binding_costs_threads) {
  if (experiment.device.threads > 0) return "device.threads=auto would use all";
  if (binding_costs_threads) return "mpirun binds the ranks to fewer than there are: give it --bind-to none";
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
  const Masks mine = masks();
  const auto all = world.all_gather_bytes(std::as_bytes(std::span(&mine, 1)));
  std::vector<Masks> masks(all.size());
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    std::memcpy(&masks[rank], all[rank].data(), sizeof mine);

  CoreUse use;
  std::map<std::string, Masks> hosts;  // what any of a host's ranks has
  std::int64_t used = 0;
  bool wants_more = false;  // some rank has more shards than threads
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto at = static_cast<std::size_t>(rank);
    const cpu_set_t& own = masks[at].own;
    std::int64_t sharing = 0;
    for (std::size_t other = 0; other < masks.size(); ++other)
      if (world.hosts()[other] == world.hosts()[at] && overlapping(own, masks[other].own) > 0) ++sharing;
    const Range shards = comm::shards_of_rank(experiment.training.shards, world.size(), rank);
    const std::int64_t threads = threads_for(experiment, CPU_COUNT(&own) / sharing, shards);
    if (rank == world.rank()) use.threads = threads;
    use.max_threads = std::max(use.max_threads, threads);
    used += threads;
    wants_more = wants_more || threads < shards.size();

    const auto host = hosts.try_emplace(world.hosts()[at], masks[at]).first;
    CPU_OR(&host->second.own, &host->second.own, &own);
    CPU_OR(&host->second.unbound, &host->second.unbound, &masks[at].unbound);
  }
  std::int64_t cores = 0;
  bool hidden = false;
  for (const auto& [host, mask] : hosts) {
    cores += CPU_COUNT(&mask.unbound);
    hidden = hidden || CPU_COUNT(&mask.own) < CPU_COUNT(&mask.unbound);
  }
  use.idle = std::max<std::int64_t>(cores - used, 0);
  if (use.idle > 0) use.advice = advice_for(experiment, world.size(), hidden && wants_more);
  return use;
}

}  // namespace lockstep::train
