#include "comm/shared_memory_collective.h"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"

namespace lockstep::comm {
namespace {

/// A run of consecutive shards has at most two subtrees of each size.
constexpr std::size_t most_partials = 128;

}  // namespace

/// What a rank tells the others; at the start of its control segment. Each rank writes its own only.
struct alignas(64) SharedMemoryCollective::Control {
  std::atomic<std::uint64_t> meetings = 0;              ///< that this rank has come to
  std::array<std::uint32_t, most_partials> slabs = {};  ///< which hold its partial sums
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "locks of a process do not work in another");

SharedMemoryCollective::SharedMemoryCollective(World& world, Hosts hosts, std::int64_t slab_size,
                                               std::int64_t shards)
    : Collective(world, std::move(hosts), slab_size, shards),
      ranks_(hosts_.ranks_of(hosts_.host_of(world.rank()))),
      controls_(world, ranks_, sizeof(Control)),
      messages_(world, hosts_, slab_size, shards, results_) {
  std::construct_at(reinterpret_cast<Control*>(controls_.segment(world.rank()).data()));
  world.barrier();
}

SharedMemoryCollective::Control& SharedMemoryCollective::control(int rank) const {
  return *std::launder(reinterpret_cast<Control*>(controls_.segment(rank).data()));
}

/// `bytes` may be 0 on some ranks; `need` and `advice` say what follows. Collective.
SharedMemory SharedMemoryCollective::make_memory(std::int64_t bytes, std::string_view need,
                                                 std::string_view advice) {
  try {
    return {world_, ranks_, bytes};
  } catch (const AgreedError& error) {  // on all ranks, which all add the same
    throw AgreedError(error.code(), fmt::format("{}. {} (ranks in the job: {}). Use {}", error.what(), need,
                                                world_.size(), advice));
  }
}

std::span<float> SharedMemoryCollective::make_slab() {
  slabs_.push_back(make_memory(
      slab_size_ * static_cast<std::int64_t>(sizeof(float)),
      fmt::format("Each rank needs as much for each of its slabs, and has {}", slabs_.size()),
      "fewer ranks on this host, a smaller model or a higher limit; with LOCKSTEP_COLLECTIVE=mpi "
      "ranks share no memory, so that a limit on file sizes does not count and each maps its own only"));
  return {slab(slabs_.size() - 1, world_.rank()), static_cast<std::size_t>(slab_size_)};
}

std::span<float> SharedMemoryCollective::make_common(std::int64_t floats, std::string_view purpose) {
  const int keeper = ranks_.front();
  const std::int64_t bytes = floats * static_cast<std::int64_t>(sizeof(float));
  common_.push_back(make_memory(world_.rank() == keeper ? bytes : 0,
                                fmt::format("Each host needs as much for the {} of its ranks", purpose),
                                "a smaller model or a higher limit"));
  const std::span<std::byte> segment = common_.back().segment(keeper);
  check(std::ssize(segment) == bytes, "the ranks of a host want common memory of one size");
  return {reinterpret_cast<float*>(segment.data()), static_cast<std::size_t>(floats)};
}

std::vector<std::span<float>> SharedMemoryCollective::make_visible(std::int64_t floats,
                                                                   std::string_view purpose) {
  visible_.push_back(make_memory(floats * static_cast<std::int64_t>(sizeof(float)),
                                 fmt::format("Each rank needs about as much for {}", purpose),
                                 "fewer ranks on this host, a smaller batch or a higher limit; with "
                                 "LOCKSTEP_COLLECTIVE=mpi ranks share no "
                                 "memory"));
  std::vector<std::span<float>> memory;
  for (const int rank : ranks_) {
    const std::span<std::byte> segment = visible_.back().segment(rank);
    memory.emplace_back(reinterpret_cast<float*>(segment.data()), segment.size() / sizeof(float));
  }
  return memory;
}

Collective::Team SharedMemoryCollective::team() const {
  return {.size = static_cast<int>(ranks_.size()), .place = static_cast<int>(place())};
}

/// Of this rank among those of its host.
std::size_t SharedMemoryCollective::place() const {
  return static_cast<std::size_t>(std::ranges::find(ranks_, world_.rank()) - ranks_.begin());
}

float* SharedMemoryCollective::slab(std::size_t index, int rank) const {
  return reinterpret_cast<float*>(slabs_[index].segment(rank).data());
}

std::size_t SharedMemoryCollective::number_of(const float* own_slab) const {
  for (std::size_t index = 0; index < slabs_.size(); ++index)
    if (slab(index, world_.rank()) == own_slab) return index;
  check(false, "slabs that are exchanged were made by make_slab");
  return 0;
}

std::span<float> SharedMemoryCollective::slab_of(int place, std::size_t number) const {
  return {slab(number, ranks_[static_cast<std::size_t>(place)]), static_cast<std::size_t>(slab_size_)};
}

/// Returns when all ranks of this host have called it as often as this one. Each rank counts its calls where
/// the others see it; nobody writes where another does.
void SharedMemoryCollective::meet() {
  control(world_.rank()).meetings.store(++meetings_, std::memory_order_release);
  for (const int rank : ranks_) {
    const std::atomic<std::uint64_t>& theirs = control(rank).meetings;
    Patience patience(*this, true);
    while (theirs.load(std::memory_order_acquire) < meetings_) patience.wait();
  }
}

std::span<const SlicePartial> SharedMemoryCollective::exchange(std::span<const Partial> local) {
  take_local(local);
  in_step_ = true;
  Control& own = control(world_.rank());
  for (std::size_t i = 0; i < local.size(); ++i)
    own.slabs[i] = static_cast<std::uint32_t>(number_of(local[i].data));
  meet();
  for (const int rank : ranks_) {
    if (rank == world_.rank()) continue;
    const std::span<SlicePartial> theirs = results_of(rank);
    for (std::size_t i = 0; i < theirs.size(); ++i)
      theirs[i].data = slab(control(rank).slabs[i], rank) + own_slice().begin;
  }
  messages_.exchange();
  return results_;
}

void SharedMemoryCollective::all_gather(std::span<float> weights) {
  if (!in_step_) meet();
  hand_on(weights);
  meet();
}

void SharedMemoryCollective::hand_on(std::span<float> weights) {
  in_step_ = false;
  const std::size_t index = number_of(weights.data());
  messages_.all_gather(weights);
  write_into_others(index, weights, own_slice());
  for (const Range slice : messages_.received_slices()) write_into_others(index, weights, slice);
}

/// Begins behind the own place, so that not all ranks write to the same one first.
void SharedMemoryCollective::write_into_others(std::size_t index, std::span<const float> weights,
                                               Range slice) {
  const std::size_t own = place();
  for (std::size_t step = 1; step < ranks_.size(); ++step) {
    const int rank = ranks_[(own + step) % ranks_.size()];
    std::copy_n(weights.data() + slice.begin, slice.size(), slab(index, rank) + slice.begin);
  }
}

std::int64_t SharedMemoryCollective::bytes_per_step() const {
  std::int64_t floats = 0;
  const auto partials = std::ssize(subtrees(shards_of_rank(shards_, world_.size(), world_.rank()), shards_));
  for (const int rank : ranks_) {
    if (rank == world_.rank()) continue;
    floats += partials * slice(rank).size() + own_slice().size();
    for (const Range received : messages_.received_slices()) floats += received.size();
  }
  return floats * static_cast<std::int64_t>(sizeof(float)) + messages_.bytes_per_step();
}

}  // namespace lockstep::comm
