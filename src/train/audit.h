#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "data/kept_rows.h"
#include "data/sampler.h"
#include "data/stripes.h"

namespace lockstep::train {

/// Tells which samples a shard trains on: rows(epoch, step, shard, out) replaces what is in `out` by their
/// file rows, in order. Epochs count from 1, steps of an epoch, shards and rows from 0.
using RowsOfShard = std::function<void(std::int64_t epoch, std::int64_t step, std::int64_t shard,
                                       std::vector<std::int64_t>& out)>;
RowsOfShard rows_of(const data::Sampler& sampler);

/// Where in an epoch a sample is used.
struct SampleUse {
  std::int64_t step = 0;   ///< of the epoch, from 0
  std::int64_t shard = 0;  ///< from 0
  std::int64_t place = 0;  ///< in the step's batch, its shards one after the other, from 0
};

struct EpochAudit {
  /// Of all samples and the order in which the epoch takes them, whatever the ranks: what a run records as
  /// its digest of the epoch's samples (order_hash of train/digests.h, added up over all steps).
  std::uint64_t order = 0;
  std::optional<SampleUse> use;  ///< of the sample that was asked for
};

/// Proves what an epoch does with its samples by going through all of them. Nothing is recorded for it:
/// whoever knows the experiment and the number of samples can do it. Memory: one bit a sample.
class SampleAudit {
 public:
  /// `ranks`: the numbers of ranks to check, none more than the shards.
  SampleAudit(const data::Stripes& stripes, config::Shuffle shuffle, const std::vector<int>& ranks,
              RowsOfShard rows);

  /// Throws Error(internal), naming epoch, step and sample, unless
  ///   1. the epoch uses each sample exactly once;
  ///   2. each shard of each step has as many samples as the stripes say;
  ///   3. for each number of ranks, the rank that has the shard keeps the sample's row in memory.
  /// As each shard has exactly one rank (see the constructor), each sample is read by exactly one rank, in a
  /// step that does not depend on how many there are. `sample` is looked up on the way.
  EpochAudit epoch(std::int64_t epoch, std::optional<std::int64_t> sample = std::nullopt);

  /// The rank that reads a shard when there are so many, for a number that the constructor was given.
  [[nodiscard]] int rank_of(std::int64_t shard, int ranks) const;

 private:
  /// Who has what with one number of ranks.
  struct Layout {
    int ranks;
    std::vector<int> rank_of_shard;
    std::vector<data::KeptRows> kept;  ///< by rank
  };
  /// Throws unless every shard has exactly one rank.
  static Layout make_layout(const data::Stripes& stripes, config::Shuffle shuffle, int ranks);

  void use(std::int64_t row, std::int64_t epoch, std::int64_t step, std::int64_t shard);
  /// For the message: where the epoch used a row first.
  SampleUse first_use(std::int64_t row, std::int64_t epoch);

  data::Stripes stripes_;
  RowsOfShard rows_;
  std::vector<Layout> layouts_;
  std::vector<bool> used_;              // by row, in the epoch that is checked
  std::vector<std::int64_t> of_shard_;  // rows of the shard at hand
};

}  // namespace lockstep::train
