#include "comm/collective.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "comm/mpi_calls.h"
#include "comm/mpi_collective.h"
#include "comm/self_collective.h"
#include "comm/shared_memory_collective.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

constexpr const char* variable = "LOCKSTEP_COLLECTIVE";

/// What this rank's environment asks for: "" (the best) or "mpi".
std::string wanted_kind() {
  const char* value = std::getenv(variable);
  const std::string kind = value == nullptr ? "" : value;
  if (!kind.empty() && kind != "mpi")
    fail(ExitCode::usage, "{}={}: the only value is mpi; unset it for the fastest collective", variable,
         kind);
  return kind;
}

/// The same on all ranks: a variable that a launcher passed to some hosts only would let ranks wait for
/// each other in different ways.
std::string agreed_kind(World& world) {
  std::string kind;
  world.agree([&] { kind = wanted_kind(); });
  const std::vector<std::string> kinds = world.all_gather(kind);
  const auto other =
      std::find_if(kinds.begin(), kinds.end(), [&](const std::string& k) { return k != kinds[0]; });
  if (other != kinds.end()) {
    const auto rank = static_cast<std::size_t>(other - kinds.begin());
    throw AgreedError(ExitCode::usage,
                      fmt::format("{} is '{}' on {} and '{}' on {}: set it alike on all ranks", variable,
                                  kinds[0], rank_on_host(0, world.hosts()[0]), *other,
                                  rank_on_host(static_cast<int>(rank), world.hosts()[rank])));
  }
  return kind;
}

}  // namespace

Range shards_of_rank(std::int64_t shards, int ranks, int rank) {
  return piece(shards, ranks, rank);
}

Range slice_of_rank(std::int64_t slab_size, int ranks, int rank) {
  check(slab_size % Parameters::block == 0, "a slab is a whole number of blocks");
  const Range blocks = piece(slab_size / Parameters::block, ranks, rank);
  return {blocks.begin * Parameters::block, blocks.end * Parameters::block};
}

std::int64_t bytes_per_step(std::int64_t slab_size, std::int64_t shards, int ranks, int rank) {
  const std::int64_t own = slice_of_rank(slab_size, ranks, rank).size();
  const auto partials = std::ssize(subtrees(shards_of_rank(shards, ranks, rank), shards));
  const std::int64_t floats = partials * (slab_size - own) + own * (ranks - 1);
  return floats * static_cast<std::int64_t>(sizeof(float));
}

Collective::Collective(World& world, std::int64_t slab_size, std::int64_t shards)
    : world_(world), slab_size_(slab_size), shards_(shards) {
  check(slab_size > 0 && slab_size % Parameters::block == 0, "a slab is a whole number of blocks");
  check(shards >= world.size(), "every rank has a shard");
  for (int rank = 0; rank < world.size(); ++rank) {
    first_result_.push_back(results_.size());
    for (const Subtree tree : subtrees(shards_of_rank(shards, world.size(), rank), shards))
      results_.push_back({tree, nullptr});
  }
  first_result_.push_back(results_.size());
}

Range Collective::slice(int rank) const {
  return slice_of_rank(slab_size_, world_.size(), rank);
}

std::int64_t Collective::bytes_per_step() const {
  return comm::bytes_per_step(slab_size_, shards_, world_.size(), world_.rank());
}

std::span<SlicePartial> Collective::results_of(int rank) {
  const std::size_t first = first_result_[static_cast<std::size_t>(rank)];
  return std::span(results_).subspan(first, first_result_[static_cast<std::size_t>(rank) + 1] - first);
}

void Collective::take_local(std::span<const Partial> local) {
  const std::span<SlicePartial> own = results_of(world_.rank());
  check(local.size() == own.size(), "a rank brings one partial sum for each of its subtrees");
  for (std::size_t i = 0; i < own.size(); ++i) {
    check(local[i].tree == own[i].tree, "a rank brings the partial sums of its own subtrees, in order");
    own[i].data = local[i].data + own_slice().begin;
  }
}

AlignedBuffer<float> Collective::make_buffer(std::int64_t floats, std::string_view purpose) {
  AlignedBuffer<float> buffer;
  world_.agree([&] {
    try {
      buffer = AlignedBuffer<float>(static_cast<std::size_t>(floats));
    } catch (const std::bad_alloc&) {
      fail(ExitCode::internal,
           "cannot get {} bytes of memory for {} (ranks in the job: {}). Use fewer ranks on this host, a "
           "smaller model or a higher limit (ulimit -v)",
           floats * static_cast<std::int64_t>(sizeof(float)), purpose, world_.size());
    }
  });
  return buffer;
}

std::span<float> Collective::make_private_slab() {
  const AlignedBuffer<float>& slab = private_slabs_.emplace_back(make_buffer(slab_size_, "a slab"));
  std::fill_n(slab.data(), slab.size(), 0.0F);
  return slab.span();
}

void Collective::all_reduce(std::span<float> values) {
  constexpr std::size_t most = std::size_t{1} << 28;  // MPI counts are int; a message of 1 GiB loses nothing
  for (std::size_t first = 0; first < values.size(); first += most) {
    const std::span<float> part = values.subspan(first, std::min(most, values.size() - first));
    require_mpi(MPI_Allreduce(MPI_IN_PLACE, part.data(), static_cast<int>(part.size()), MPI_FLOAT, MPI_SUM,
                              world_.native().handle),
                "MPI_Allreduce", "the sum of gradients");
  }
}

std::unique_ptr<Collective> make_collective(World& world, std::int64_t slab_size, std::int64_t shards) {
  const std::string kind = agreed_kind(world);
  if (world.size() == 1) return std::make_unique<SelfCollective>(world, slab_size, shards);
  if (kind == "mpi" || world.host_count() > 1)
    return std::make_unique<MpiCollective>(world, slab_size, shards);
  try {
    return std::make_unique<SharedMemoryCollective>(world, slab_size, shards);
  } catch (const AgreedError& error) {  // on all ranks, so all of them turn to messages
    if (world.is_root())
      log::warning(
          "{}. So the ranks of this host cannot share memory: gradients go as MPI messages instead, "
          "which is slower; the results are the same.",
          error.what());
    return std::make_unique<MpiCollective>(world, slab_size, shards);
  }
}

}  // namespace lockstep::comm
