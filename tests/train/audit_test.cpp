#include "train/audit.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "comm/collective.h"
#include "data/loader.h"
#include "data/numbered_dataset.h"
#include "io/error_of.h"
#include "train/digests.h"

namespace lockstep::train {
namespace {

using config::Shuffle;
using data::Sampler;
using data::Stripes;
using lockstep::testing::error_of;
using lockstep::testing::expect_error;

constexpr std::uint64_t seed = 42;

std::vector<int> up_to(std::int64_t shards) {
  std::vector<int> ranks;
  for (int count = 1; count <= shards; ++count) ranks.push_back(count);
  return ranks;
}

/// Audits epoch 3 of 100 samples in steps of 16, 2 a shard, and a last one of 4, after `change` has had its
/// way with the rows of each shard.
template <class Change>
Error audit_of(Shuffle shuffle, Change&& change) {
  const Stripes stripes(100, 16, 8);
  const RowsOfShard right = rows_of(Sampler(stripes, shuffle, seed));
  SampleAudit audit(stripes, shuffle, {1, 3},
                    [&](std::int64_t epoch, std::int64_t step, std::int64_t shard, auto& out) {
                      right(epoch, step, shard, out);
                      change(step, shard, out);
                    });
  return error_of([&] { audit.epoch(3); });
}

std::vector<std::int64_t> right_rows(Shuffle shuffle, std::int64_t step, std::int64_t shard) {
  std::vector<std::int64_t> rows;
  rows_of(Sampler(Stripes(100, 16, 8), shuffle, seed))(3, step, shard, rows);
  return rows;
}

class EveryShuffle : public ::testing::TestWithParam<Shuffle> {};
INSTANTIATE_TEST_SUITE_P(Audit, EveryShuffle,
                         ::testing::Values(Shuffle::none, Shuffle::stripes, Shuffle::global));

TEST_P(EveryShuffle, AcceptsTheSamplerOfAnySize) {
  std::mt19937 random(5);
  const auto draw = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(1, most)(random);
  };
  for (int example = 0; example < 100; ++example) {
    const Stripes stripes(draw(700), draw(90), std::int64_t{1} << (draw(5) - 1));
    const Sampler sampler(stripes, GetParam(), static_cast<std::uint64_t>(draw(1000)));
    SampleAudit audit(stripes, GetParam(), up_to(stripes.shards()), rows_of(sampler));
    for (const std::int64_t epoch : {std::int64_t{1}, draw(1'000'000)})
      ASSERT_NO_THROW(audit.epoch(epoch)) << stripes.samples() << " samples in batches of " << stripes.batch()
                                          << " and " << stripes.shards() << " shards";
  }
}

TEST_P(EveryShuffle, FindsEachSampleWhereTheSamplerPutsIt) {
  const Stripes stripes(103, 10, 8);
  const Sampler sampler(stripes, GetParam(), seed);
  SampleAudit audit(stripes, GetParam(), {1, 2, 3, 8}, rows_of(sampler));
  std::set<std::int64_t> places;
  for (std::int64_t sample = 0; sample < stripes.samples(); ++sample) {
    const SampleUse use = audit.epoch(7, sample).use.value();
    std::vector<std::int64_t> batch;
    std::vector<std::int64_t> of_shard;
    for (std::int64_t shard = 0; shard < stripes.shards(); ++shard) {
      of_shard.resize(static_cast<std::size_t>(sampler.count(use.step, shard)));
      sampler.rows(7, use.step, shard, of_shard);
      batch.insert(batch.end(), of_shard.begin(), of_shard.end());
      if (shard == use.shard) {
        EXPECT_THAT(of_shard, ::testing::Contains(sample));
      }
    }
    EXPECT_EQ(batch.at(static_cast<std::size_t>(use.place)), sample);
    places.insert(use.step * stripes.batch() + use.place);
  }
  EXPECT_EQ(std::ssize(places), stripes.samples());
}

/// What a rank's loader hands to its shards is what the audit says that this rank reads, in the same step and
/// order, and adds up to the digest that a run records.
TEST_P(EveryShuffle, IsWhatTheLoadersOfAnyRanksRead) {
  constexpr std::int64_t epoch = 2;
  const Stripes stripes(103, 10, 8);
  const Sampler sampler(stripes, GetParam(), seed);
  const data::testing::NumberedDataset dataset(stripes.samples(), {3});
  SampleAudit audit(stripes, GetParam(), {1, 2, 3, 4}, rows_of(sampler));
  std::vector<SampleUse> uses;
  for (std::int64_t sample = 0; sample < stripes.samples(); ++sample)
    uses.push_back(audit.epoch(epoch, sample).use.value());

  for (const int ranks : {1, 2, 3, 4}) {
    SCOPED_TRACE(ranks);
    std::uint64_t order = 0;
    std::int64_t samples = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      const Range shards = comm::shards_of_rank(stripes.shards(), ranks, rank);
      data::Loader loader(dataset, sampler, 1.0F, shards);
      loader.start(epoch);
      for (std::int64_t step = 0; step < stripes.steps(); ++step) {
        const data::Batch& batch = loader.next();
        order += order_hash(batch, stripes.shards());
        std::int64_t place = stripes.rows(step, {0, shards.begin}).size();
        for (const data::ShardBatch& shard : batch.shards)
          for (std::int64_t i = 0; i < shard.count; ++i, ++place, ++samples) {
            const SampleUse& use = uses.at(static_cast<std::size_t>(shard.rows[i]));
            EXPECT_EQ(use.step, step);
            EXPECT_EQ(use.shard, shard.shard);
            EXPECT_EQ(use.place, place);
            EXPECT_EQ(audit.rank_of(use.shard, ranks), rank);
          }
      }
    }
    EXPECT_EQ(samples, stripes.samples());
    EXPECT_EQ(order, audit.epoch(epoch).order);
  }
}

TEST_P(EveryShuffle, OrderTellsOrdersApart) {
  const Stripes stripes(103, 10, 8);
  SampleAudit audit(stripes, GetParam(), {1}, rows_of(Sampler(stripes, GetParam(), seed)));
  SampleAudit other_seed(stripes, GetParam(), {1}, rows_of(Sampler(stripes, GetParam(), seed + 1)));
  SampleAudit other_ranks(stripes, GetParam(), {5}, rows_of(Sampler(stripes, GetParam(), seed)));
  const std::uint64_t first = audit.epoch(1).order;
  const bool shuffles = GetParam() != Shuffle::none;
  EXPECT_EQ(first != audit.epoch(2).order, shuffles);
  EXPECT_EQ(first != other_seed.epoch(1).order, shuffles);
  EXPECT_EQ(first, other_ranks.epoch(1).order);
  EXPECT_EQ(first, audit.epoch(1).order);
}

TEST_P(EveryShuffle, NamesASampleThatIsUsedTwice) {
  const std::int64_t twice = right_rows(GetParam(), 1, 5)[1];
  const Error error = audit_of(GetParam(), [&](std::int64_t step, std::int64_t shard, auto& out) {
    if (step == 4 && shard == 5) out[0] = twice;
  });
  expect_error(
      error, ExitCode::internal,
      {fmt::format("epoch 3 uses sample {} twice, first in step 2, shard 5, and again in step 5, shard 5",
                   twice)});
}

TEST_P(EveryShuffle, NamesASampleThatIsLeftOut) {
  const std::int64_t missing = right_rows(GetParam(), 4, 5)[1];
  const Error error = audit_of(GetParam(), [&](std::int64_t step, std::int64_t shard, auto& out) {
    if (step == 4 && shard == 5) out.pop_back();
  });
  expect_error(
      error, ExitCode::internal,
      {fmt::format("epoch 3 does not use sample {}: step 5, shard 5 has 1 sample instead of 2", missing)});
}

TEST_P(EveryShuffle, NamesASampleThatDoesNotExist) {
  for (const std::int64_t row : {std::int64_t{-1}, std::int64_t{100}}) {
    const Error error = audit_of(GetParam(), [&](std::int64_t step, std::int64_t shard, auto& out) {
      if (step == 6 && shard == 7) out[0] = row;
    });
    expect_error(error, ExitCode::internal,
                 {"epoch 3, step 7, shard 7", fmt::format("no sample {}, only 0 to 99", row)});
  }
}

/// Each sample once, but in the wrong step: a shard in step 1 has one more than it has room for.
TEST_P(EveryShuffle, NamesAShardOfAnotherSize) {
  const std::int64_t moved = right_rows(GetParam(), 4, 5)[1];
  const Error error = audit_of(GetParam(), [&](std::int64_t step, std::int64_t shard, auto& out) {
    if (step == 4 && shard == 5) out.pop_back();
    if (step == 0 && shard == 5) out.push_back(moved);
  });
  expect_error(error, ExitCode::internal, {"epoch 3, step 1, shard 5 has 3 samples instead of 2"});
}

/// Two shards exchange a sample. Of one rank, all is there; of three, the other rank has not kept it.
TEST(Audit, NamesTheRankThatDoesNotKeepASample) {
  for (const Shuffle shuffle : {Shuffle::none, Shuffle::stripes}) {
    const std::int64_t of_first = right_rows(shuffle, 2, 0)[1], of_last = right_rows(shuffle, 2, 7)[0];
    const auto exchange = [&](std::int64_t step, std::int64_t shard, std::vector<std::int64_t>& out) {
      if (step == 2 && shard == 0) out[1] = of_last;
      if (step == 2 && shard == 7) out[0] = of_first;
    };
    expect_error(
        audit_of(shuffle, exchange), ExitCode::internal,
        {fmt::format("epoch 3, step 3, shard 0: sample {} is not among the rows that rank 0 of 3 keeps",
                     of_last)});
  }
}

/// Whichever shard has a sample then, its rank has kept it; only the order is another.
TEST(Audit, EveryRankKeepsWhatIsShuffledGlobally) {
  const Stripes stripes(96, 16, 8);
  const RowsOfShard right = rows_of(Sampler(stripes, Shuffle::global, seed));
  SampleAudit audit(stripes, Shuffle::global, up_to(8), right);
  SampleAudit exchanged(stripes, Shuffle::global, up_to(8),
                        [&](std::int64_t epoch, std::int64_t step, std::int64_t shard, auto& out) {
                          right(epoch, step, 7 - shard, out);
                        });
  EXPECT_NE(exchanged.epoch(1).order, audit.epoch(1).order);
}

TEST(Audit, TellsRanksOnlyForTheNumbersItChecked) {
  const Stripes stripes(100, 16, 8);
  const SampleAudit audit(stripes, Shuffle::none, {3}, rows_of(Sampler(stripes, Shuffle::none, seed)));
  EXPECT_EQ(audit.rank_of(0, 3), 0);
  EXPECT_EQ(audit.rank_of(1, 3), 0);
  EXPECT_EQ(audit.rank_of(2, 3), 1);
  EXPECT_EQ(audit.rank_of(7, 3), 2);
  EXPECT_EQ(error_of([&] { static_cast<void>(audit.rank_of(0, 2)); }).code(), ExitCode::internal);
}

TEST(Audit, WantsAShardForEveryRank) {
  const Stripes stripes(100, 16, 8);
  const auto make = [&](int ranks) {
    SampleAudit(stripes, Shuffle::none, {ranks}, rows_of(Sampler(stripes, Shuffle::none, seed)));
  };
  EXPECT_NO_THROW(make(8));
  EXPECT_EQ(error_of([&] { make(9); }).code(), ExitCode::internal);
  EXPECT_EQ(error_of([&] { make(0); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace lockstep::train
