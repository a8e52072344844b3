#include "train/memory_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace lockstep::train {
namespace {

constexpr std::int64_t block_size = Parameters::block;

SlabKind kind_of_state(std::size_t state) {
  return state == 0 ? SlabKind::first_state : SlabKind::second_state;
}

std::span<const float> block_of(std::span<const float> values, std::int64_t block) {
  return values.subspan(static_cast<std::size_t>(block * block_size), static_cast<std::size_t>(block_size));
}

}  // namespace

MemoryCheck::MemoryCheck(const Parameters& parameters, Ownership ownership, Range owned,
                         std::vector<optim::Optimizer::State> state, WorkerPool& workers)
    : parameters_(parameters),
      ownership_(ownership),
      owned_(owned),
      state_(std::move(state)),
      workers_(workers),
      recorded_(static_cast<std::size_t>(owned.size() / block_size)),
      by_worker_(static_cast<std::size_t>(workers.size())) {
  check(state_.size() <= most_states, "each state of an optimizer has a hash");
}

MemoryCheck::BlockHashes MemoryCheck::hash_block(std::int64_t block, std::span<const float> weights) const {
  const std::int64_t first = block * block_size;
  BlockHashes hashes{.weights = slab_hash(SlabKind::weights, first, weights), .state = {}};
  for (std::size_t i = 0; i < state_.size(); ++i)
    hashes.state.at(i) =
        slab_hash(kind_of_state(i), first, block_of(state_[i].values, block - owned_.begin / block_size));
  return hashes;
}

void MemoryCheck::record(std::int64_t first, std::span<const float> weights) {
  for (std::int64_t i = 0; i < std::ssize(weights) / block_size; ++i) {
    const std::int64_t block = first / block_size + i;
    recorded_[static_cast<std::size_t>(block - owned_.begin / block_size)] =
        hash_block(block, block_of(weights, i));
  }
}

MemoryHashes MemoryCheck::look(std::span<const float> weights) {
  const Range own{owned_.begin / block_size, owned_.end / block_size};
  workers_.run([&](int worker) {
    const Range blocks = piece(std::ssize(weights) / block_size, workers_.size(), worker);
    MemoryHashes found;
    for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {
      if (!own.contains(block)) {
        found.copy += slab_hash(SlabKind::weights, block * block_size, block_of(weights, block));
        continue;
      }
      const BlockHashes now = hash_block(block, block_of(weights, block));
      const BlockHashes& then = recorded_[static_cast<std::size_t>(block - own.begin)];
      found.copy += now.weights;
      found.recorded += then.weights;
      found.state_damaged |= now.state != then.state;
    }
    by_worker_[static_cast<std::size_t>(worker)] = found;
  });
  MemoryHashes all{.ownership = ownership_};
  for (const MemoryHashes& found : by_worker_) {
    all.recorded += found.recorded;
    all.copy += found.copy;
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

void MemoryCheck::report(comm::World& world, std::span<const float> weights, std::int64_t step) const {
  std::vector<std::uint64_t> own(recorded_.size());
  std::ranges::transform(recorded_, own.begin(), &BlockHashes::weights);
  std::vector<std::uint64_t> all = own;  // of the slab, as its owners wrote it
  if (ownership_ == Ownership::slices) {
    all.clear();
    for (const auto& bytes : world.all_gather_bytes(std::as_bytes(std::span(own)))) {
      const std::size_t before = all.size();
      all.resize(before + bytes.size() / sizeof(std::uint64_t));
      if (!bytes.empty()) std::memcpy(&all[before], bytes.data(), bytes.size());
    }
  }

  const auto fail_at = [&](std::string_view what, std::int64_t block) {
    fail(ExitCode::internal,
         "before step {}: bits of {} ({}) changed in memory since they were written. The step was not "
         "applied, "
         "and no weights are written. Suspect the memory of this host: test or replace it, and start again.",
         step, what, place(block));
  };
  world.agree([&] {
    for (std::int64_t block = 0; block < std::ssize(all); ++block)
      if (slab_hash(SlabKind::weights, block * block_size, block_of(weights, block)) !=
          all[static_cast<std::size_t>(block)])
        fail_at("the weights", block);
    for (std::int64_t block = owned_.begin / block_size; block < owned_.end / block_size; ++block)
      if (hash_block(block, block_of(weights, block)).state !=
          recorded_[static_cast<std::size_t>(block - owned_.begin / block_size)].state)
        fail_at("the optimizer's state", block);
  });
  world.agree([&] {
    fail(ExitCode::internal, "before step {}: a hash of the weights did not fit, and now they all do", step);
  });
  std::abort();  // agree() throws on every rank
}

}  // namespace lockstep::train
