#include "train/state_transfer.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "train/slab_hash.h"

namespace lockstep::train {
namespace {

using checkpoint::NamedSlab;
using optim::Optimizer;

/// The state's slab in the snapshot. Error(bad_data) when there is none.
const NamedSlab& slab_of(const checkpoint::Snapshot& snapshot, const std::string& name) {
  const auto found = std::ranges::find(snapshot.optimizer, name, &NamedSlab::name);
  if (found == snapshot.optimizer.end())
    fail(ExitCode::bad_data, "the checkpoint of step {} lacks the optimizer's {}", snapshot.global_step,
         name);
  return *found;
}

}  // namespace

void gather_optimizer(comm::World& world, Ownership ownership, std::int64_t slab_size,
                      const std::vector<Optimizer::State>& own, checkpoint::Snapshot* into) {
  if (into != nullptr) into->optimizer.resize(own.size());
  for (std::size_t i = 0; i < own.size(); ++i) {
    std::span<float> all;
    if (into != nullptr) {
      NamedSlab& slab = into->optimizer[i];
      slab.name = own[i].name;
      if (std::ssize(slab.values.span()) != slab_size)
        slab.values = AlignedBuffer<float>(static_cast<std::size_t>(slab_size));
      all = slab.values.span();
    }
    if (ownership == Ownership::slices)
      world.gather_into(std::as_bytes(own[i].values), std::as_writable_bytes(all));
    else if (into != nullptr)
      std::ranges::copy(own[i].values, all.begin());
  }
}

void check_digests(const checkpoint::Snapshot& snapshot, const std::string& path) {
  std::uint64_t optimizer = 0;
  auto kind = SlabKind::first_state;
  for (const NamedSlab& state : snapshot.optimizer) {
    optimizer += slab_hash(kind, 0, state.values.span());
    kind = SlabKind::second_state;
  }
  const bool same = slab_hash(SlabKind::weights, 0, snapshot.weights.span()) == snapshot.weights_digest &&
                    optimizer == snapshot.optimizer_digest;
  if (!same)
    fail(ExitCode::bad_data, "{}: weights or optimizer state are not what the training had at step {}", path,
         snapshot.global_step);
  if (snapshot.average_count &&
      slab_hash(SlabKind::average, 0, snapshot.average.span()) != snapshot.average_digest)
    fail(ExitCode::bad_data, "{}: the average of the weights is not what the training had at step {}", path,
         snapshot.global_step);
}

void scatter_optimizer(comm::World& world, const checkpoint::Snapshot* from, std::int64_t slab_size,
                       Range owned, const std::vector<Optimizer::State>& own) {
  AlignedBuffer<float> slab;
  world.agree([&] {
    if (!own.empty()) slab = AlignedBuffer<float>(static_cast<std::size_t>(slab_size));
    if (from == nullptr) return;
    for (const Optimizer::State& state : own) slab_of(*from, state.name);
  });
  for (const Optimizer::State& state : own) {
    if (from != nullptr) std::ranges::copy(slab_of(*from, state.name).values.span(), slab.data());
    world.broadcast_into(std::as_writable_bytes(slab.span()));
    std::ranges::copy(slab.span().subspan(static_cast<std::size_t>(owned.begin), state.values.size()),
                      state.values.begin());
  }
}

}  // namespace lockstep::train
