#include "train/memory_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace lockstep::train {
namespace {

constexpr std::int64_t block_size = Parameters::block;
constexpr std::int64_t most_blocks_of_a_piece = 8;

void append(std::vector<std::uint64_t>& hashes, std::span<const std::byte> bytes) {
  const std::size_t before = hashes.size();
  hashes.resize(before + bytes.size() / sizeof(std::uint64_t));
  if (!bytes.empty()) std::memcpy(&hashes[before], bytes.data(), bytes.size());
}

std::span<const float> block_of(std::span<const float> values, std::int64_t block) {
  return values.subspan(static_cast<std::size_t>(block * block_size), static_cast<std::size_t>(block_size));
}

std::uint64_t hash_of_weights(std::int64_t block, std::span<const float> weights) {
  return slab_hash(SlabKind::weights, block * block_size, block_of(weights, block));
}

}  // namespace

MemoryCheck::MemoryCheck(const Parameters& parameters, Ownership ownership, Range owned,
                         std::vector<optim::Optimizer::State> state, WorkerPool& workers,
                         config::MemoryChecks setting)
    : parameters_(parameters),
      ownership_(ownership),
      owned_(owned),
      state_(std::move(state)),
      workers_(workers),
      setting_(setting),
      recorded_(static_cast<std::size_t>(owned.size() / block_size)),
      by_worker_(static_cast<std::size_t>(workers.size())) {
  check(state_.size() <= most_states, "each state of an optimizer has a hash");
}

MemoryCheck::StateHashes MemoryCheck::hash_of_state(std::int64_t block) const {
  StateHashes hashes{};
  for (std::size_t i = 0; i < state_.size(); ++i)
    hashes.at(i) = slab_hash(kind_of_state(i), block * block_size,
                             block_of(state_[i].values, block - owned_blocks().begin));
  return hashes;
}

void MemoryCheck::record(std::int64_t first, std::span<const float> weights) {
  for (std::int64_t i = 0; i < std::ssize(weights) / block_size; ++i) {
    const std::int64_t block = first / block_size + i;
    recorded_[static_cast<std::size_t>(block - owned_blocks().begin)] = {
        .weights = slab_hash(SlabKind::weights, block * block_size, block_of(weights, i)),
        .state = hash_of_state(block)};
  }
}

MemoryCheck::StateHashes MemoryCheck::state_of(const BlockHashViews& hashes, std::size_t block) {
  StateHashes state{};
  for (std::size_t i = 0; i < hashes.states.size(); ++i) state.at(i) = hashes.states[i][block];
  return state;
}

void MemoryCheck::record(const BlockHashViews& own) {
  check(own.weights.size() == recorded_.size() && own.states.size() == state_.size(),
        "each own block has hashes");
  for (std::size_t block = 0; block < recorded_.size(); ++block)
    recorded_[block] = {.weights = own.weights[block], .state = state_of(own, block)};
}

MemoryHashes MemoryCheck::look(const BlockHashViews& now) const {
  MemoryHashes all;
  all.ownership = ownership_;
  for (const BlockHashes& block : recorded_) all.recorded += block.weights;
  if (setting_ == config::MemoryChecks::off) return all;
  all.copy = std::accumulate(now.weights.begin(), now.weights.end(), std::uint64_t{0});
  for (std::size_t block = 0; block < recorded_.size(); ++block)
    all.state_damaged |= state_of(now, block) != recorded_[block].state;
  return all;
}

MemoryHashes MemoryCheck::look(std::span<const float> weights) {
  begin_look(weights);
  workers_.run_pieces(look_pieces(), [&](std::int64_t piece, int worker) { look_at(piece, worker); });
  return end_look();
}

void MemoryCheck::begin_look(std::span<const float> weights) {
  looked_at_ = weights;
  blocks_of_a_piece_ = workers_.piece_size(std::ssize(weights) / block_size, most_blocks_of_a_piece);
  std::ranges::fill(by_worker_, Found());
}

std::int64_t MemoryCheck::look_pieces() const {
  if (setting_ == config::MemoryChecks::off) return 0;
  const std::int64_t blocks = std::ssize(looked_at_) / block_size;
  return (blocks + blocks_of_a_piece_ - 1) / blocks_of_a_piece_;
}

void MemoryCheck::look_at(std::int64_t piece, int worker) {
  const Range own = owned_blocks();
  const std::int64_t end = std::min((piece + 1) * blocks_of_a_piece_, std::ssize(looked_at_) / block_size);
  Found& found = by_worker_[static_cast<std::size_t>(worker)];
  for (std::int64_t block = piece * blocks_of_a_piece_; block < end; ++block) {
    found.copy += hash_of_weights(block, looked_at_);
    if (!own.contains(block)) continue;
    const BlockHashes& recorded = recorded_[static_cast<std::size_t>(block - own.begin)];
    found.recorded += recorded.weights;
    found.state_damaged |= hash_of_state(block) != recorded.state;
  }
}

MemoryHashes MemoryCheck::end_look() {
  MemoryHashes all;
  all.ownership = ownership_;
  if (setting_ == config::MemoryChecks::off) {
    for (const BlockHashes& block : recorded_) all.recorded += block.weights;
    return all;
  }
  all.copy = 0;
  for (const Found& found : by_worker_) {
    all.recorded += found.recorded;
    *all.copy += found.copy;
    all.state_damaged |= found.state_damaged;
  }
  return all;
}

std::uint64_t MemoryCheck::recorded_state() const {
  std::uint64_t sum = 0;
  for (const BlockHashes& block : recorded_)
    for (const std::uint64_t hash : block.state) sum += hash;
  return sum;
}

/// The tensors that a block holds parts of.
std::string MemoryCheck::place(std::int64_t block) const {
  const Parameter& first = parameters_.at_offset(block * block_size);
  const Parameter& last = parameters_.at_offset((block + 1) * block_size - 1);
  return first.name == last.name ? first.name : fmt::format("{} to {}", first.name, last.name);
}

/// Hashes of all blocks of the weights as this rank should have them. Collective.
std::vector<std::uint64_t> MemoryCheck::written(comm::World& world) const {
  std::vector<std::uint64_t> own(recorded_.size());
  std::ranges::transform(recorded_, own.begin(), &BlockHashes::weights);
  if (ownership_ == Ownership::everything) return own;
  std::vector<std::uint64_t> all;
  for (const auto& bytes : world.all_gather_bytes(std::as_bytes(std::span(own)))) append(all, bytes);
  return all;
}

void MemoryCheck::repair(comm::World& world, std::span<float> weights, std::int64_t step) {
  if (setting_ != config::MemoryChecks::repair) report(world, weights, step);
  world.agree([&] { check_state(world, step); });
  if (!limit_.allows(step))
    report(world, weights, step,
           fmt::format(" It was repaired {} times in the last {} steps.", RepairLimit::repairs,
                       RepairLimit::steps));

  std::vector<std::uint64_t> own = written(world);
  const std::size_t blocks = own.size();
  for (std::size_t block = 0; block < blocks; ++block)
    own.push_back(hash_of_weights(static_cast<std::int64_t>(block), weights));
  std::vector<BlocksOnRank> ranks;
  for (const auto& bytes : world.all_gather_bytes(std::as_bytes(std::span(own)))) {
    std::vector<std::uint64_t> hashes;
    append(hashes, bytes);
    const auto middle = hashes.begin() + static_cast<std::ptrdiff_t>(blocks);
    ranks.push_back({{hashes.begin(), middle}, {middle, hashes.end()}});
  }
  const auto fetches = plan_repair(ranks);
  if (!fetches) report(world, weights, step, " No rank has them whole, to repair them.");
  for (const Fetch& fetch : *fetches) {
    const std::span<float> block = weights.subspan(static_cast<std::size_t>(fetch.block * block_size),
                                                   static_cast<std::size_t>(block_size));
    if (world.rank() == fetch.from) world.send(std::as_bytes(block), fetch.to);
    if (world.rank() == fetch.to) world.receive(std::as_writable_bytes(block), fetch.from);
  }
  if (world.is_root()) warn(world, *fetches, step);
}

/// One line for each rank that was repaired.
void MemoryCheck::warn(const comm::World& world, std::span<const Fetch> fetches, std::int64_t step) const {
  if (fetches.empty())
    log::warning("before step {}: a hash of the weights did not fit on some rank, and now they all do", step);
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto first = std::ranges::find(fetches, rank, &Fetch::to);
    if (first == fetches.end()) continue;
    log::warning(
        "before step {}: bits of the weights ({}) changed in the memory of rank {} on {} since they were "
        "written. Training goes on with what other ranks have (blocks of weights fetched: {}). Suspect the "
        "memory of this host.",
        step, place(first->block), rank, world.hosts()[static_cast<std::size_t>(rank)],
        std::ranges::count(fetches, rank, &Fetch::to));
  }
}

void MemoryCheck::report(comm::World& world, std::span<const float> weights, std::int64_t step,
                         std::string_view note) const {
  const std::vector<std::uint64_t> all = written(world);
  world.agree([&] {
    for (std::int64_t block = 0; block < std::ssize(all); ++block)
      if (hash_of_weights(block, weights) != all[static_cast<std::size_t>(block)])
        fail_at(world, step, "the weights", block, note);
    check_state(world, step);
  });
  world.agree([&] {
    fail(ExitCode::internal, "before step {}: a hash of the weights did not fit, and now they all do.{}",
         step, note);
  });
  std::abort();  // agree() throws on every rank
}

/// Throws if the own optimizer state is not what was written.
void MemoryCheck::check_state(const comm::World& world, std::int64_t step) const {
  const Range own = owned_blocks();
  for (std::int64_t block = own.begin; block < own.end; ++block)
    if (hash_of_state(block) != recorded_[static_cast<std::size_t>(block - own.begin)].state)
      fail_at(world, step, "the optimizer's state", block, {});
}

void MemoryCheck::fail_at(const comm::World& world, std::int64_t step, std::string_view what,
                          std::int64_t block, std::string_view note) const {
  fail(ExitCode::internal,
       "rank {} on {}: before step {}: bits of {} ({}) changed in memory since they were written.{} The step "
       "was not applied, and no weights are written. Suspect the memory of this host: test or replace it, "
       "and start again.",
       world.rank(), world.hosts()[static_cast<std::size_t>(world.rank())], step, what, place(block), note);
}

}  // namespace lockstep::train
