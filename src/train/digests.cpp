#include "train/digests.h"

#include <array>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "io/hash.h"

namespace lockstep::train {

bool digest_is_due(std::int64_t every, std::int64_t step) {
  return step == 0 || (every > 0 && step % every == 0);
}

std::uint64_t order_hash(const data::Batch& batch, std::int64_t total_shards) {
  std::uint64_t sum = 0;
  for (const data::ShardBatch& shard : batch.shards)
    sum += io::hash64(std::as_bytes(std::span(shard.rows, static_cast<std::size_t>(shard.count))),
                      static_cast<std::uint64_t>(batch.step * total_shards + shard.shard));
  return sum;
}

std::uint64_t metrics_hash(const metrics::EpochRecord& record) {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  const std::array values{record.train_loss, record.train_accuracy, record.val_loss.value_or(none),
                          record.val_accuracy.value_or(none), record.learning_rate};
  return io::hash64(std::as_bytes(std::span(values)), static_cast<std::uint64_t>(record.epoch));
}

std::uint64_t wrapping_sum(comm::World& world, std::uint64_t own) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(world.size()));
  world.all_gather_into(std::as_bytes(std::span(&own, 1)), std::as_writable_bytes(std::span(all)));
  return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

}  // namespace lockstep::train
