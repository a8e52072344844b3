#include "train/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "comm/collective.h"
#include "data/loader.h"
#include "metrics/format.h"
#include "train/digests.h"

namespace lockstep::train {
namespace {

template <class... Args>
[[noreturn]] void fail_audit(fmt::format_string<Args...> format, Args&&... args) {
  fail(ExitCode::internal, "audit: {}. This is a mistake in Lockstep: please report it with the experiment",
       fmt::format(format, std::forward<Args>(args)...));
}

std::uint64_t order_hash_of(const std::vector<std::int64_t>& rows, std::int64_t step, std::int64_t shard,
                            std::int64_t shards) {
  data::Batch batch;
  batch.step = step;
  batch.shards = {{.shard = shard, .count = std::ssize(rows), .rows = rows.data()}};
  return order_hash(batch, shards);
}

}  // namespace

RowsOfShard rows_of(const data::Sampler& sampler) {
  return
      [sampler](std::int64_t epoch, std::int64_t step, std::int64_t shard, std::vector<std::int64_t>& out) {
        out.resize(static_cast<std::size_t>(sampler.count(step, shard)));
        sampler.rows(epoch, step, shard, out);
      };
}

SampleAudit::Layout SampleAudit::make_layout(const data::Stripes& stripes, config::Shuffle shuffle,
                                             int ranks) {
  constexpr int nobody = -1;
  check(1 <= ranks && ranks <= stripes.shards(), "every rank has a shard");
  Layout layout{ranks, std::vector<int>(static_cast<std::size_t>(stripes.shards()), nobody), {}};
  for (int rank = 0; rank < ranks; ++rank) {
    const Range shards = comm::shards_of_rank(stripes.shards(), ranks, rank);
    layout.kept.push_back(shuffle == config::Shuffle::global ? data::KeptRows(stripes.samples())
                                                             : data::KeptRows(stripes, shards));
    for (std::int64_t shard = shards.begin; shard < shards.end; ++shard) {
      int& owner = layout.rank_of_shard.at(static_cast<std::size_t>(shard));
      if (owner != nobody) fail_audit("of {} ranks both {} and {} have shard {}", ranks, owner, rank, shard);
      owner = rank;
    }
  }
  const auto unowned = std::ranges::find(layout.rank_of_shard, nobody);
  if (unowned != layout.rank_of_shard.end())
    fail_audit("of {} ranks none has shard {}", ranks, unowned - layout.rank_of_shard.begin());
  return layout;
}

SampleAudit::SampleAudit(const data::Stripes& stripes, config::Shuffle shuffle, const std::vector<int>& ranks,
                         RowsOfShard rows)
    : stripes_(stripes), rows_(std::move(rows)) {
  for (const int count : ranks) layouts_.push_back(make_layout(stripes, shuffle, count));
}

int SampleAudit::rank_of(std::int64_t shard, int ranks) const {
  const auto layout = std::ranges::find(layouts_, ranks, &Layout::ranks);
  check(layout != layouts_.end(), "a number of ranks that is audited");
  return layout->rank_of_shard.at(static_cast<std::size_t>(shard));
}

SampleUse SampleAudit::first_use(std::int64_t row, std::int64_t epoch) {
  for (std::int64_t step = 0; step < stripes_.steps(); ++step)
    for (std::int64_t shard = 0, place = 0; shard < stripes_.shards(); ++shard) {
      rows_(epoch, step, shard, of_shard_);
      const auto found = std::ranges::find(of_shard_, row);
      place += found - of_shard_.begin();
      if (found != of_shard_.end()) return {step, shard, place};
    }
  check(false, "a row that was used is found again");
  return {};
}

void SampleAudit::use(std::int64_t row, std::int64_t epoch, std::int64_t step, std::int64_t shard) {
  if (row < 0 || row >= stripes_.samples())
    fail_audit("epoch {}, step {}, shard {}: there is no sample {}, only 0 to {}", epoch, step + 1, shard,
               row, stripes_.samples() - 1);
  const auto index = static_cast<std::size_t>(row);
  if (used_[index]) {
    const SampleUse first = first_use(row, epoch);
    fail_audit("epoch {} uses sample {} twice, first in step {}, shard {}, and again in step {}, shard {}",
               epoch, row, first.step + 1, first.shard, step + 1, shard);
  }
  used_[index] = true;
  for (const Layout& layout : layouts_) {
    const int rank = layout.rank_of_shard[static_cast<std::size_t>(shard)];
    if (layout.kept[static_cast<std::size_t>(rank)].index_of(row) < 0)
      fail_audit("epoch {}, step {}, shard {}: sample {} is not among the rows that rank {} of {} keeps",
                 epoch, step + 1, shard, row, rank, layout.ranks);
  }
}

EpochAudit SampleAudit::epoch(std::int64_t epoch, std::optional<std::int64_t> sample) {
  used_.assign(static_cast<std::size_t>(stripes_.samples()), false);
  EpochAudit result;
  std::string miscounted;  // the first shard of another size than it should have
  for (std::int64_t step = 0; step < stripes_.steps(); ++step) {
    std::int64_t place = 0;
    for (std::int64_t shard = 0; shard < stripes_.shards(); ++shard) {
      rows_(epoch, step, shard, of_shard_);
      const std::int64_t due = stripes_.rows(step, {shard, shard + 1}).size();
      const auto count = static_cast<std::int64_t>(of_shard_.size());
      if (count != due && miscounted.empty())
        miscounted = fmt::format("step {}, shard {} has {} instead of {}", step + 1, shard,
                                 metrics::counted(count, "sample"), due);
      result.order += order_hash_of(of_shard_, step, shard, stripes_.shards());
      for (std::size_t i = 0; i < of_shard_.size(); ++i, ++place) {
        const std::int64_t row = of_shard_[i];
        use(row, epoch, step, shard);
        if (row == sample) result.use = SampleUse{step, shard, place};
      }
    }
  }
  const auto unused = std::find(used_.begin(), used_.end(), false);
  if (unused != used_.end())
    fail_audit("epoch {} does not use sample {}{}{}", epoch, unused - used_.begin(),
               miscounted.empty() ? "" : ": ", miscounted);
  if (!miscounted.empty()) fail_audit("epoch {}, {}", epoch, miscounted);
  return result;
}

}  // namespace lockstep::train
