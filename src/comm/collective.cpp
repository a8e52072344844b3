#include "comm/collective.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/cpu_pause.h"
#include "base/log.h"
#include "comm/mpi_calls.h"
#include "comm/mpi_collective.h"
#include "comm/self_collective.h"
#include "comm/shared_memory_collective.h"
#include "tensor/parameters.h"

namespace lockstep::comm {
namespace {

constexpr const char* variable = "LOCKSTEP_COLLECTIVE";

constexpr std::string_view messages_only = "mpi";
constexpr std::string_view pretended_hosts = "hosts:";

/// The N of "hosts:N"; nothing for any other text.
std::optional<int> ranks_of_pretended_host(std::string_view kind) {
  if (!kind.starts_with(pretended_hosts)) return std::nullopt;
  const std::string_view number = kind.substr(pretended_hosts.size());
  int ranks = 0;
  const auto [end, error] = std::from_chars(number.begin(), number.end(), ranks);
  if (error != std::errc() || end != number.end() || ranks < 1) return std::nullopt;
  return ranks;
}

/// What this rank's environment asks for: "" (the best), "mpi" or "hosts:N".
std::string wanted_kind() {
  const char* value = std::getenv(variable);
  const std::string kind = value == nullptr ? "" : value;
  if (!kind.empty() && kind != messages_only && !ranks_of_pretended_host(kind))
    fail(ExitCode::usage,
         "{}={}: the values are mpi, for messages only, and for tests hosts:N, for N ranks to a host; unset "
         "it for the fastest collective",
         variable, kind);
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

Hosts hosts_for(const World& world, const std::string& kind) {
  const std::optional<int> pretended = ranks_of_pretended_host(kind);
  return pretended ? Hosts::of_size(*pretended, world.size()) : Hosts(world.hosts());
}

}  // namespace

Range shards_of_rank(std::int64_t shards, int ranks, int rank) {
  return piece(shards, ranks, rank);
}

Range shards_of_run(std::int64_t shards, int ranks, Range run) {
  return {piece(shards, ranks, run.begin).begin, piece(shards, ranks, run.end - 1).end};
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

std::span<SlicePartial> within(std::span<SlicePartial> partials, Range shards) {
  const auto first_from = [&](std::int64_t shard) {
    return std::partition_point(partials.begin(), partials.end(),
                                [shard](const SlicePartial& partial) { return partial.tree.first < shard; });
  };
  return {first_from(shards.begin), first_from(shards.end)};
}

AlignedBuffer<float> make_buffer(World& world, std::int64_t floats, std::string_view purpose) {
  AlignedBuffer<float> buffer;
  world.agree([&] {
    try {
      buffer = AlignedBuffer<float>(static_cast<std::size_t>(floats));
    } catch (const std::bad_alloc&) {
      fail(ExitCode::internal,
           "cannot get {} bytes of memory for {} (ranks in the job: {}). Use fewer ranks on this host, a "
           "smaller model or a higher limit (ulimit -v)",
           floats * static_cast<std::int64_t>(sizeof(float)), purpose, world.size());
    }
  });
  return buffer;
}

Collective::Collective(World& world, Hosts hosts, std::int64_t slab_size, std::int64_t shards)
    : world_(world), hosts_(std::move(hosts)), slab_size_(slab_size), shards_(shards) {
  check(slab_size > 0 && slab_size % Parameters::block == 0, "a slab is a whole number of blocks");
  check(shards >= world.size(), "every rank has a shard");
  const auto add_results = [&](Range run) {
    for (const Subtree tree : subtrees(shards_of_run(shards, world.size(), run), shards))
      results_.push_back({tree, nullptr});
  };
  for (const Range run : hosts_.runs()) {
    if (!hosts_.are_together(static_cast<int>(run.begin), world.rank()))
      add_results(run);
    else
      for (std::int64_t rank = run.begin; rank < run.end; ++rank) add_results({rank, rank + 1});
  }
}

Range Collective::slice(int rank) const {
  return slice_of_rank(slab_size_, world_.size(), rank);
}

std::int64_t Collective::bytes_per_step() const {
  return comm::bytes_per_step(slab_size_, shards_, world_.size(), world_.rank());
}

std::span<SlicePartial> Collective::results_of(int rank) {
  return within(results_, shards_of_rank(shards_, world_.size(), rank));
}

void Collective::take_local(std::span<const Partial> local) {
  const std::span<SlicePartial> own = results_of(world_.rank());
  check(local.size() == own.size(), "a rank brings one partial sum for each of its subtrees");
  for (std::size_t i = 0; i < own.size(); ++i) {
    check(local[i].tree == own[i].tree, "a rank brings the partial sums of its own subtrees, in order");
    own[i].data = local[i].data + own_slice().begin;
  }
}

std::span<float> Collective::make_common(std::int64_t floats, std::string_view purpose) {
  return make_private(floats, purpose);
}

std::vector<std::span<float>> Collective::make_visible(std::int64_t floats, std::string_view purpose) {
  return {make_private(floats, purpose)};
}

std::size_t Collective::number_of(const float* /*slab*/) const {
  check(false, "a team of one has nobody to tell");
  return 0;
}

std::span<float> Collective::slab_of(int /*place*/, std::size_t /*number*/) const {
  check(false, "a team of one knows its slabs");
  return {};
}

/// Ranks that run on cores of their own meet within a few looks, with pauses some 0.3 µs; where they share
/// cores the one waited for may need this one.
void Collective::Patience::wait() {
  constexpr int looks_before_yielding = 10;
  if (looks_ < looks_before_yielding) {
    ++looks_;
    cpu_pause();
    return;
  }
  if (is_main_) collective_.progress();
  std::this_thread::yield();
}

std::span<float> Collective::make_private(std::int64_t floats, std::string_view purpose) {
  const AlignedBuffer<float>& memory = private_memory_.emplace_back(make_buffer(world_, floats, purpose));
  std::fill_n(memory.data(), memory.size(), 0.0F);
  return memory.span();
}

void Collective::all_reduce(std::span<float> values) {
  sum_over_ranks(world_, values.data(), std::ssize(values), "the sum of gradients");
}

std::unique_ptr<Collective> make_collective(World& world, std::int64_t slab_size, std::int64_t shards) {
  const std::string kind = agreed_kind(world);
  if (world.size() == 1) return std::make_unique<SelfCollective>(world, slab_size, shards);
  const Hosts hosts = hosts_for(world, kind);
  if (kind == messages_only || hosts.count() == world.size())
    return std::make_unique<MpiCollective>(world, slab_size, shards);
  try {
    return std::make_unique<SharedMemoryCollective>(world, hosts, slab_size, shards);
  } catch (const AgreedError& error) {  // on all ranks, so all of them turn to messages
    if (world.is_root())
      log::warning(
          "{}. So the ranks of one host cannot share memory: gradients go as MPI messages instead, "
          "which is slower; the results are the same.",
          error.what());
    return std::make_unique<MpiCollective>(world, slab_size, shards);
  }
}

}  // namespace lockstep::comm
