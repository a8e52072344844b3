#include "data/batch_checks.h"

#include <gtest/gtest.h>

#include <vector>

namespace lockstep::data::testing {

void expect_batch(const Batch& batch, const Sampler& sampler, std::int64_t epoch, std::int64_t step,
                  Range shards, std::size_t pixels) {
  ASSERT_EQ(batch.epoch, epoch);
  ASSERT_EQ(batch.step, step);
  ASSERT_EQ(batch.global_samples, sampler.stripes().step_samples(step));
  ASSERT_EQ(static_cast<std::int64_t>(batch.shards.size()), shards.size());
  for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
    const ShardBatch& found = batch.shards[static_cast<std::size_t>(shard - shards.begin)];
    ASSERT_EQ(found.shard, shard);
    ASSERT_EQ(found.count, sampler.count(step, shard));
    std::vector<std::int64_t> rows(static_cast<std::size_t>(found.count));
    sampler.rows(epoch, step, shard, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(found.rows[i], rows[i]);
      ASSERT_EQ(found.labels[i], rows[i] % 7);
      for (std::size_t p = 0; p < pixels; ++p)
        ASSERT_EQ(found.images[i * pixels + p],
                  static_cast<float>(1000 * rows[i] + static_cast<std::int64_t>(p)) * numbered_scale);
    }
  }
}

}  // namespace lockstep::data::testing
