#include "train/arithmetic_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/error.h"
#include "base/philox.h"

namespace lockstep::train {
namespace {

int random_below(std::uint32_t word, int bound) {
  return static_cast<int>(std::uint64_t{word} * static_cast<std::uint64_t>(bound) >> 32U);
}

template <class T>
std::span<const T> run_of(const T* first, std::size_t count) {
  return {first, count};
}

}  // namespace

CheckedShard checked_shard(std::uint64_t seed, std::int64_t step, const data::Stripes& stripes, int ranks) {
  const auto words =
      RandomKey(seed, Purpose::arithmetic_check, 0).words(0, static_cast<std::uint64_t>(step), 0);
  const std::int64_t step_of_epoch = (step - 1) % stripes.steps();
  const std::int64_t shards = stripes.shards();
  CheckedShard checked{.shard = random_below(words[0], static_cast<int>(shards))};
  while (stripes.rows(step_of_epoch, {checked.shard, checked.shard + 1}).empty())
    checked.shard = (checked.shard + 1) % shards;

  checked.owner = checked.checker = static_cast<int>(piece_containing(shards, ranks, checked.shard));
  if (ranks == 1) return checked;
  checked.checker = (checked.owner + 1 + random_below(words[1], ranks - 1)) % ranks;
  if (ranks == 2) return checked;
  checked.judge = random_below(words[2], ranks - 2);  // among the other ranks, in order
  for (const int taken : {std::min(checked.owner, checked.checker), std::max(checked.owner, checked.checker)})
    if (checked.judge >= taken) ++checked.judge;
  return checked;
}

bool same_result(const CheckedShard& checked, std::span<const RankHashes> by_rank) {
  const RankHashes& owner = by_rank[static_cast<std::size_t>(checked.owner)];
  if (checked.owner == checked.checker) return owner.first == owner.again;
  return owner.first == by_rank[static_cast<std::size_t>(checked.checker)].first;
}

std::string verdict(const CheckedShard& checked, std::span<const RankHashes> by_rank,
                    std::span<const std::string> hosts) {
  const auto name = [&](int rank) {
    return fmt::format("rank {} on {}", rank, hosts[static_cast<std::size_t>(rank)]);
  };
  const auto hashes = [&](int rank) { return by_rank[static_cast<std::size_t>(rank)]; };
  const auto [shard, owner, checker, judge] = checked;
  if (judge >= 0) {
    const auto blame = [&](int wrong, int right) {
      return fmt::format("{} computed shard {} wrong: {} and {} got equal bits, and it got others",
                         name(wrong), shard, name(std::min(right, judge)), name(std::max(right, judge)));
    };
    if (hashes(judge).first == hashes(checker).first) return blame(owner, checker);
    if (hashes(judge).first == hashes(owner).first) return blame(checker, owner);
    return fmt::format("{}, {} and {} each got other bits for shard {}: at least two of them compute wrong",
                       name(owner), name(checker), name(judge), shard);
  }
  std::string wavering;
  for (const int rank : {owner, checker})
    if (hashes(rank).first != hashes(rank).again && (wavering.empty() || rank != owner))
      wavering += (wavering.empty() ? "" : " and ") + name(rank);
  if (!wavering.empty()) return fmt::format("{} computed shard {} twice and got other bits", wavering, shard);
  return fmt::format(
      "{} and {} each got the same bits for shard {} when they computed it again, but not those of the "
      "other: the hosts compute differently, or one of them is always wrong",
      name(owner), name(checker), shard);
}

ArithmeticCheck::ArithmeticCheck(comm::World& world, device::Backend& backend, const device::Network& network,
                                 const data::Stripes& stripes, std::int64_t every, const ImageSource& source)
    : world_(world),
      stripes_(stripes),
      seed_(network.seed),
      every_(every),
      source_(source),
      image_size_(static_cast<std::size_t>(network.input.count())),
      by_rank_(static_cast<std::size_t>(world.size())) {
  if (every == 0) return;
  const std::vector<std::int64_t> sizes = shard_sizes(stripes, {0, stripes.shards()});
  for (const std::int64_t samples : sizes) {
    SizedPlan sized{samples, backend.plan(network, samples, device::Mode::training), nullptr};
    sized.runner = sized.plan->make_runner();
    check(plans_.empty() || sized.plan->packing() == plans_.front().plan->packing(), "plans pack alike");
    plans_.push_back(std::move(sized));
  }
  packed_ = AlignedBuffer<float>(static_cast<std::size_t>(plans_.front().plan->packing().floats));
  const auto most = static_cast<std::size_t>(sizes.front());
  gradient_ = AlignedBuffer<float>(static_cast<std::size_t>(network.parameters.slab_size()));
  if (world.size() > 1 || source.dataset != nullptr) images_ = AlignedBuffer<float>(most * image_size_);
  if (source.dataset != nullptr && source.distorts) distorter_.emplace(network.input);
  if (world.size() == 1) return;
  labels_ = AlignedBuffer<std::int32_t>(most);
  rows_ = AlignedBuffer<std::int64_t>(most);
}

ShardWatch* ArithmeticCheck::begin_step(std::int64_t step) {
  step_ = step;
  checked_.reset();
  if (every_ == 0 || step % every_ != 0) return nullptr;
  checked_ = checked_shard(seed_, step, stripes_, world_.size());
  watch_ = {.shard = checked_->shard};
  return &watch_;
}

void ArithmeticCheck::finish_step(const data::Batch& batch, std::span<const float> weights) {
  if (!checked_) return;
  const auto [shard, owner, checker, judge] = *checked_;
  const int rank = world_.rank();
  RankHashes own{.first = watch_.hash};  // of the owner; the others have none yet

  pass_samples(batch, checker);
  const auto check_it = [&] {
    if (rank == checker) (rank == owner ? own.again : own.first) = compute(batch, weights);
  };
  world_.agree(std::ref(check_it));
  share(own);
  if (same_result(*checked_, by_rank_)) return;

  if (judge >= 0) pass_samples(batch, judge);
  world_.agree([&] {
    if (rank == judge) own.first = compute(batch, weights);
    if (world_.size() == 2) own.again = compute(batch, weights);
  });
  share(own);
  world_.agree([&] {
    fail(ExitCode::internal,
         "step {}: {}. The step was not applied, and no weights are written. Suspect the processor and the "
         "memory of the host that is wrong: test or replace it, and start again.",
         step_, verdict(*checked_, by_rank_, world_.hosts()));
  });
}

/// Copies the samples of the checked shard from its owner to another rank's buffers.
void ArithmeticCheck::pass_samples(const data::Batch& batch, int to) {
  const int from = checked_->owner;
  if (from == to) return;
  const data::ShardBatch shard = samples(batch);
  const auto count = static_cast<std::size_t>(shard.count);
  if (world_.rank() == from) {
    world_.send(std::as_bytes(run_of(shard.images, count * image_size_)), to);
    world_.send(std::as_bytes(run_of(shard.labels, count)), to);
    world_.send(std::as_bytes(run_of(shard.rows, count)), to);
  }
  if (world_.rank() == to) {
    world_.receive(std::as_writable_bytes(images_.span().first(count * image_size_)), from);
    world_.receive(std::as_writable_bytes(labels_.span().first(count)), from);
    world_.receive(std::as_writable_bytes(rows_.span().first(count)), from);
  }
}

/// The checked shard: of the batch where this rank has it, else as another rank has sent it.
data::ShardBatch ArithmeticCheck::samples(const data::Batch& batch) {
  const std::int64_t shard = checked_->shard;
  if (world_.rank() == checked_->owner) {
    data::ShardBatch own = batch.shards[static_cast<std::size_t>(shard - batch.shards.front().shard)];
    if (own.images != nullptr) return own;
    for (std::int64_t i = 0; i < own.count; ++i) {
      const auto image = images_.span().subspan(static_cast<std::size_t>(i) * image_size_, image_size_);
      if (distorter_)
        distorter_->gather(*source_.dataset, own.rows[i], source_.scale, own.maps[i], image);
      else
        source_.dataset->gather(own.rows[i], source_.scale, image);
    }
    own.images = images_.data();
    return own;
  }
  return {.shard = shard,
          .count = stripes_.rows(batch.step, {shard, shard + 1}).size(),
          .images = images_.data(),
          .labels = labels_.data(),
          .rows = rows_.data()};
}

std::uint64_t ArithmeticCheck::compute(const data::Batch& batch, std::span<const float> weights) {
  const data::ShardBatch shard = samples(batch);
  const auto sized = std::ranges::find(plans_, shard.count, &SizedPlan::samples);
  check(sized != plans_.end(), "every size of shard was planned");
  sized->plan->load_weights(weights, packed_.data());
  const device::Totals totals = sized->runner->train(input_of(shard, batch.epoch), gradient_.span());
  return result_hash(gradient_.span(), totals);
}

void ArithmeticCheck::share(const RankHashes& own) {
  world_.all_gather_into(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(by_rank_)));
}

std::int64_t ArithmeticCheck::bytes() const {
  std::int64_t total = static_cast<std::int64_t>(packed_.span().size_bytes() + gradient_.span().size_bytes() +
                                                 images_.span().size_bytes() + labels_.span().size_bytes() +
                                                 rows_.span().size_bytes());
  if (distorter_) total += distorter_->bytes();
  for (const SizedPlan& sized : plans_) total += sized.plan->shared_bytes() + sized.plan->runner_bytes();
  return total;
}

}  // namespace lockstep::train
