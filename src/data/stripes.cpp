#include "data/stripes.h"

#include <algorithm>

#include "base/check.h"

namespace lockstep::data {

Stripes::Stripes(std::int64_t samples, std::int64_t batch, std::int64_t shards)
    : samples_(samples), batch_(batch), shards_(shards) {
  check(samples >= 1 && batch >= 1 && shards >= 1, "stripes need samples, a batch and shards");
}

std::int64_t Stripes::steps() const {
  return (samples_ - 1) / batch_ + 1;
}

std::int64_t Stripes::step_samples(std::int64_t step) const {
  check(0 <= step && step < steps(), "a step lies in the epoch");
  return std::min(batch_, samples_ - step * batch_);
}

Range Stripes::rows(std::int64_t step, Range shards) const {
  check(0 <= shards.begin && shards.begin <= shards.end && shards.end <= shards_, "shards of the batch");
  const std::int64_t samples = step_samples(step);
  const std::int64_t base = step * batch_;
  return {base + piece(samples, shards_, shards.begin).begin,
          base + piece(samples, shards_, shards.end).begin};
}

std::int64_t Stripes::stripe_rows(Range shards) const {
  const std::int64_t last = steps() - 1;
  const std::int64_t in_last = rows(last, shards).size();
  return last == 0 ? in_last : last * rows(0, shards).size() + in_last;
}

std::int64_t Stripes::row_of(std::int64_t shard, std::int64_t position) const {
  check(0 <= position && position < stripe_rows({shard, shard + 1}), "a position lies in its stripe");
  const std::int64_t last = steps() - 1;
  const std::int64_t width = last == 0 ? 0 : rows(0, {shard, shard + 1}).size();
  // All steps but the last are full; a stripe may have no rows in those (fewer samples than shards).
  const std::int64_t step = width == 0 ? last : std::min(position / width, last);
  return rows(step, {shard, shard + 1}).begin + (position - step * width);
}

std::int64_t Stripes::first_position(std::int64_t step, std::int64_t shard) const {
  check(0 <= step && step < steps(), "a step lies in the epoch");
  return step == 0 ? 0 : step * rows(0, {shard, shard + 1}).size();
}

}  // namespace lockstep::data
