#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/error.h"
#include "data/batch_checks.h"
#include "data/distorter.h"
#include "data/numbered_dataset.h"
#include "io/error_of.h"

namespace lockstep::data {
namespace {

using config::Shuffle;
using lockstep::testing::error_of;
using testing::expect_batch;
using testing::FailingDataset;
using testing::NumberedDataset;

constexpr float scale = testing::numbered_scale;

TEST(Loader, DeliversEveryStepOfEveryEpoch) {
  struct Example {
    std::int64_t samples, batch, shards;
    Range own;
    int slots;
  };
  // In the second, the tail of 10 gives shard 3 two samples, a full batch of 11 only one.
  for (const Example& example : {Example{100, 16, 8, {0, 8}, 3},
                                 {32, 11, 8, {2, 6}, 3},
                                 {103, 10, 8, {2, 5}, 1},
                                 {50, 50, 4, {3, 4}, 2},
                                 {3, 20, 8, {0, 4}, 3},
                                 {57, 6, 8, {1, 7}, 2},
                                 {40, 8, 8, {5, 5}, 3}}) {
    const NumberedDataset dataset(example.samples, {1, 3, 3});
    const Sampler sampler(Stripes(example.samples, example.batch, example.shards), Shuffle::stripes, 9);
    Loader loader(dataset, sampler, scale, example.own, example.slots);
    for (std::int64_t epoch = 1; epoch <= 3; ++epoch) {
      loader.start(epoch);
      for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step)
        expect_batch(loader.next(), sampler, epoch, step, example.own, 9);
    }
  }
}

/// What is ahead is there for whoever waits, and becomes the next batch; nothing is behind the last one.
TEST(Loader, ShowsTheBatchAheadOnceItIsReady) {
  constexpr Range own{0, 8};
  const NumberedDataset dataset(100, {1, 3, 3});
  const Sampler sampler(Stripes(100, 16, 8), Shuffle::stripes, 9);
  const std::int64_t steps = sampler.stripes().steps();
  Loader loader(dataset, sampler, scale, own);
  loader.start(1);
  for (std::int64_t step = 0; step < steps; ++step) {
    const Batch& batch = loader.next();
    if (step == steps - 1) break;
    const Batch* ahead = nullptr;
    while (ahead == nullptr) ahead = step % 2 == 0 ? loader.await_ahead() : loader.ahead();
    EXPECT_EQ(loader.await_ahead(), ahead);
    expect_batch(*ahead, sampler, 1, step + 1, own, 9);
    expect_batch(batch, sampler, 1, step, own, 9);
  }
  EXPECT_EQ(loader.ahead(), nullptr);
  EXPECT_EQ(loader.await_ahead(), nullptr);
}

TEST(Loader, StartsAnywhereAndDropsWhatWasPrefetched) {
  const NumberedDataset dataset(1000, {5});
  const Sampler sampler(Stripes(1000, 16, 8), Shuffle::global, 9);
  Loader loader(dataset, sampler, scale, {0, 8});
  for (int round = 0; round < 200; ++round) {
    const std::int64_t first = round % sampler.stripes().steps();
    loader.start(1 + round, first);
    for (std::int64_t step = first; step < std::min(first + round % 4, sampler.stripes().steps()); ++step)
      expect_batch(loader.next(), sampler, 1 + round, step, {0, 8}, 5);
  }
}

TEST(Loader, ABatchStaysWhileTheThreadRunsAhead) {
  const NumberedDataset dataset(64, {5});
  const Sampler sampler(Stripes(64, 8, 2), Shuffle::none, 9);
  Loader loader(dataset, sampler, scale, {0, 2}, 3);
  loader.start(1);
  for (std::int64_t step = 0; step < 8; ++step) {
    const Batch& batch = loader.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    expect_batch(batch, sampler, 1, step, {0, 2}, 5);
  }
}

TEST(Loader, ImagesOfAShardBeginOnACacheLine) {
  const NumberedDataset dataset(30, {3});
  Loader loader(dataset, Sampler(Stripes(30, 15, 4), Shuffle::none, 9), scale, {0, 4});
  loader.start(1);
  for (const ShardBatch& shard : loader.next().shards)
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(shard.images) % 64, 0U);
}

TEST(Loader, CountsItsMemory) {
  const NumberedDataset dataset(100, {16});
  const Sampler sampler(Stripes(100, 10, 2), Shuffle::none, 9);
  const Loader loader(dataset, sampler, scale, {0, 2}, 4);
  EXPECT_EQ(loader.bytes(), 4 * 10 * (16 * 4 + 4 + 8));
}

/// Whoever holds which shards, from whichever step on.
TEST(Loader, DistortsEachSampleAlikeWhereverItIs) {
  const Shape image{1, 5, 4};
  const NumberedDataset dataset(57, image);
  const Sampler sampler(Stripes(57, 6, 8), Shuffle::stripes, 9);
  const Augmentation augmentation({.shift = 1, .rotate = 30, .shear = 0.1, .zoom = 0.2}, 9, image, "");
  Distorter distorter(image);
  std::vector<float> expected(20);
  for (const Range own : {Range{0, 8}, {0, 3}, {3, 8}, {6, 7}}) {
    Loader loader(dataset, sampler, scale, own, 2, Faults::none, Images::gathered, augmentation);
    Loader leaving(dataset, sampler, scale, own, 2, Faults::none, Images::left, augmentation);
    for (std::int64_t epoch = 1; epoch <= 2; ++epoch) {
      const std::int64_t first = own.begin + epoch - 1;
      loader.start(epoch, first);
      leaving.start(epoch, first);
      for (std::int64_t step = first; step < sampler.stripes().steps(); ++step) {
        const Batch& batch = loader.next();
        const Batch& left = leaving.next();
        for (std::size_t shard = 0; shard < batch.shards.size(); ++shard)
          for (std::int64_t i = 0; i < batch.shards[shard].count; ++i) {
            const std::int64_t row = batch.shards[shard].rows[i];
            const AffineMap map = augmentation.map(epoch, row);
            distorter.gather(dataset, row, scale, map, expected);
            const std::span found(batch.shards[shard].images + i * image.count(), expected.size());
            ASSERT_TRUE(std::ranges::equal(std::as_bytes(found), std::as_bytes(std::span(expected))))
                << "epoch " << epoch << " step " << step << " row " << row;
            ASSERT_EQ(left.shards[shard].maps[i], map);
            ASSERT_EQ(left.shards[shard].images, nullptr);
          }
      }
    }
  }
}

TEST(Loader, WithoutAnAugmentationHasNoMaps) {
  const NumberedDataset dataset(30, {3});
  Loader loader(dataset, Sampler(Stripes(30, 15, 4), Shuffle::none, 9), scale, {0, 4}, 3, Faults::none,
                Images::left);
  loader.start(1);
  for (const ShardBatch& shard : loader.next().shards) EXPECT_EQ(shard.maps, nullptr);
}

TEST(Loader, RethrowsAtTheStepThatFailed) {
  FailingDataset dataset;
  const Sampler sampler(Stripes(100, 10, 2), Shuffle::none, 9);
  Loader loader(dataset, sampler, scale, {0, 2});
  loader.start(1);
  for (std::int64_t step = 0; step < 3; ++step) expect_batch(loader.next(), sampler, 1, step, {0, 2}, 4);
  for (const bool ahead : {true, false, true, false}) {
    const Error error = error_of([&] { static_cast<void>(ahead ? loader.await_ahead() : &loader.next()); });
    EXPECT_EQ(error.code(), ExitCode::bad_data);
    EXPECT_STREQ(error.what(), "row 37 is bad");
  }
  dataset.bad_row = -1;
  loader.start(2, 3);
  expect_batch(loader.next(), sampler, 2, 3, {0, 2}, 4);
}

TEST(Loader, RefusesMisuse) {
  const NumberedDataset dataset(20, {4});
  Loader loader(dataset, Sampler(Stripes(20, 10, 2), Shuffle::none, 9), scale, {0, 2});
  EXPECT_EQ(error_of([&] { loader.next(); }).code(), ExitCode::internal);
  EXPECT_EQ(error_of([&] { loader.start(1, 2); }).code(), ExitCode::internal);
  loader.start(1, 1);
  loader.next();
  EXPECT_EQ(error_of([&] { loader.next(); }).code(), ExitCode::internal);
}

TEST(Loader, EndsAtAnyMoment) {
  const NumberedDataset dataset(5000, {50});
  const Sampler sampler(Stripes(5000, 10, 2), Shuffle::none, 9);
  for (int taken = -1; taken < 30; ++taken) {
    Loader loader(dataset, sampler, scale, {0, 2}, 1 + (taken + 1) % 3);
    if (taken >= 0) loader.start(1);
    for (int i = 0; i < taken; ++i) loader.next();
  }
}

}  // namespace
}  // namespace lockstep::data
