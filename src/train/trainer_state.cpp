// What of a training goes into a checkpoint and comes out of one.
#include <algorithm>

#include "base/aligned_buffer.h"
#include "train/digests.h"
#include "train/state_transfer.h"
#include "train/trainer.h"

namespace lockstep::train {

void Trainer::restore(const checkpoint::Snapshot* from) {
  // What every rank needs of the snapshot, as it travels.
  struct Facts {
    Position position;
    double seconds = 0;
    double last_loss = 0;
    std::int64_t has_loss = 0;
    std::int64_t shards = 0;
    std::int64_t averaged = 0;
  } facts;
  if (from != nullptr)
    facts = {.position = {.epoch = from->epoch, .step = from->step},
             .seconds = from->seconds,
             .last_loss = from->last_loss.value_or(0),
             .has_loss = from->last_loss ? 1 : 0,
             .shards = std::ssize(from->totals),
             .averaged = from->average_count.value_or(0)};
  world_.broadcast_into(std::as_writable_bytes(std::span(&facts, 1)));
  world_.agree([&] {
    if (facts.shards != stripes_.shards())
      fail(ExitCode::bad_data, "the checkpoint has totals of {} shards, and the experiment has {}",
           facts.shards, stripes_.shards());
    const std::int64_t averaged = average_ ? average_->count_at(facts.position) : 0;
    if (facts.averaged != averaged)
      fail(ExitCode::bad_data,
           "the checkpoint has the average of {} weights, and the experiment would have that of {} there",
           facts.averaged, averaged);
  });
  position_ = facts.position;
  seconds_before_ = facts.seconds;
  if (facts.has_loss != 0) last_loss_ = facts.last_loss;

  std::vector<device::Totals> totals(static_cast<std::size_t>(facts.shards));
  if (from != nullptr)
    std::ranges::transform(from->totals, totals.begin(), [](const checkpoint::ShardTotals& shard) {
      return device::Totals{.loss = shard.loss, .correct = shard.correct, .samples = shard.samples};
    });
  world_.broadcast_into(std::as_writable_bytes(std::span(totals)));
  meter_.restore(shards_, totals);
  for (const device::Totals& shard : totals) shown_ += shard;
  samples_before_ = shown_.samples;
  if (from != nullptr) order_hash_ = from->sample_digest;  // the ranks' parts are only ever added up

  AlignedBuffer<float> weights;
  world_.agree([&] {
    weights = AlignedBuffer<float>(static_cast<std::size_t>(blueprint_.network.parameters.slab_size()));
  });
  if (from != nullptr) std::ranges::copy(from->weights.span(), weights.span().begin());
  world_.broadcast_into(std::as_writable_bytes(weights.span()));
  replica_->set_weights(weights.span());
  if (facts.averaged > 0) {
    if (from != nullptr) std::ranges::copy(from->average.span(), weights.span().begin());
    world_.broadcast_into(std::as_writable_bytes(weights.span()));
    average_->restore(facts.averaged, weights.span());
  }
  scatter_optimizer(world_, from, std::ssize(weights.span()), replica_->owned(), replica_->state());
  replica_->state_changed();
}

/// `status` is what the ranks have just agreed on: nothing is wrong with the state. Collective.
void Trainer::take_checkpoint(const Sinks& sinks, const StepStatus& status,
                              std::optional<double> val_accuracy) {
  world_.activity().enter(comm::Phase::writing_checkpoint);
  std::int64_t wanted = options_.checkpoints != nullptr ? 1 : 0;
  world_.max({&wanted, 1});
  if (wanted == 0) return;
  checkpoint::Snapshot snapshot;
  if (world_.is_root()) snapshot = options_.checkpoints->buffers();
  const auto totals = meter_.gather(world_);
  const std::uint64_t samples = wrapping_sum(world_, order_hash_);
  const std::uint64_t optimizer = optimizer_digest();
  const std::span<const float> weights = replica_->weights();
  const bool averages = average_ && average_->count() > 0;
  if (averages) average_->check_memory(world_);
  gather_optimizer(world_, replica_->ownership(), std::ssize(weights), replica_->state(),
                   world_.is_root() ? &snapshot : nullptr);
  if (!world_.is_root()) return;
  snapshot.epoch = position_.epoch;
  snapshot.step = position_.step;
  snapshot.global_step = global_step();
  snapshot.seconds = seconds();
  snapshot.last_loss = last_loss_;
  snapshot.val_accuracy = val_accuracy;
  snapshot.sample_digest = samples;
  snapshot.weights_digest = status.weights_digest;
  snapshot.optimizer_digest = optimizer;
  snapshot.totals.resize(totals.size());
  std::ranges::transform(totals, snapshot.totals.begin(), [](const device::Totals& shard) {
    return checkpoint::ShardTotals{.loss = shard.loss, .correct = shard.correct, .samples = shard.samples};
  });
  const auto copy = [](std::span<const float> from, AlignedBuffer<float>& to) {
    if (to.size() != from.size()) to = AlignedBuffer<float>(from.size());
    std::ranges::copy(from, to.data());
  };
  copy(weights, snapshot.weights);
  if (averages) {
    snapshot.average_count = average_->count();
    snapshot.average_digest = average_->digest();
    copy(average_->mean(), snapshot.average);
  }
  report([&] {
    for (const auto& sink : sinks) sink->flush();
    options_.checkpoints->submit(std::move(snapshot));
  });
}

/// Of all ranks' optimizer state. Collective.
std::uint64_t Trainer::optimizer_digest() {
  // Where every rank owns everything, rank 0's will do.
  const bool counts = replica_->ownership() == Ownership::slices || world_.is_root();
  return wrapping_sum(world_, counts ? replica_->recorded_state() : 0);
}

}  // namespace lockstep::train
