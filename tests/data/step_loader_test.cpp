#include "data/step_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "data/batch_checks.h"
#include "data/loader.h"
#include "io/error_of.h"

namespace lockstep::data {
namespace {

using config::Shuffle;
using lockstep::testing::error_of;
using testing::expect_batch;
using testing::FailingDataset;
using testing::NumberedDataset;

constexpr float scale = testing::numbered_scale;

/// Some pieces ahead by some threads; the rest is left to next().
void gather_some(StepLoader& loader, std::int64_t pieces, int threads) {
  const std::int64_t some = std::min(pieces, loader.pieces_ahead());
  std::vector<std::thread> team;
  for (int thread = 0; thread < threads; ++thread)
    team.emplace_back([&, thread] {
      for (std::int64_t piece = thread; piece < some; piece += threads) loader.gather_ahead(piece, thread);
    });
  for (std::thread& member : team) member.join();
}

TEST(StepLoader, DeliversEveryStepOfEveryEpochWhoeverGathersIt) {
  struct Example {
    std::int64_t samples, batch, shards;
    Range own;
  };
  // In the second, the tail of 10 gives shard 3 two samples, a full batch of 11 only one.
  for (const Example& example : {Example{100, 16, 8, {0, 8}},
                                 {32, 11, 8, {2, 6}},
                                 {50, 50, 4, {3, 4}},
                                 {3, 20, 8, {0, 4}},
                                 {40, 8, 8, {5, 5}}}) {
    const NumberedDataset dataset(example.samples, {1, 3, 3});
    const Sampler sampler(Stripes(example.samples, example.batch, example.shards), Shuffle::stripes, 9);
    StepLoader loader(dataset, sampler, scale, example.own, 3);
    for (std::int64_t epoch = 1; epoch <= 4; ++epoch) {
      loader.start(epoch);
      for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step) {
        const Batch& batch = loader.next();
        gather_some(loader, 3 * (epoch - 1), 3);
        expect_batch(batch, sampler, epoch, step, example.own, 9);
      }
      EXPECT_EQ(loader.pieces_ahead(), 0);
    }
  }
}

TEST(StepLoader, GathersNoPieceTwice) {
  FailingDataset dataset;
  dataset.bad_row = -1;
  const Sampler sampler(Stripes(100, 10, 2), Shuffle::none, 9);
  StepLoader loader(dataset, sampler, scale, {0, 2}, 1);
  loader.start(1);
  loader.next();
  gather_some(loader, 2, 1);
  dataset.bad_row = 12;  // would be noticed in next()
  gather_some(loader, 2, 1);
  expect_batch(loader.next(), sampler, 1, 1, {0, 2}, 4);
}

TEST(StepLoader, StartsAnywhereAndDropsWhatWasGathered) {
  const NumberedDataset dataset(1000, {5});
  const Sampler sampler(Stripes(1000, 16, 8), Shuffle::global, 9);
  StepLoader loader(dataset, sampler, scale, {0, 8}, 2);
  for (int round = 0; round < 200; ++round) {
    const std::int64_t first = round % sampler.stripes().steps();
    loader.start(1 + round, first);
    for (std::int64_t step = first; step < std::min(first + round % 4, sampler.stripes().steps()); ++step) {
      expect_batch(loader.next(), sampler, 1 + round, step, {0, 8}, 5);
      gather_some(loader, round % 9, 2);
    }
  }
}

/// Each thread has a place of its own to distort in.
TEST(StepLoader, DistortsAsTheLoaderDoes) {
  const Shape image{1, 5, 4};
  const NumberedDataset dataset(57, image);
  const Sampler sampler(Stripes(57, 16, 8), Shuffle::stripes, 9);
  const Augmentation augmentation({.shift = 1, .rotate = 30, .shear = 0.1, .zoom = 0.2}, 9, image, "");
  Loader by_itself(dataset, sampler, scale, {0, 8}, 2, Faults::none, Images::gathered, augmentation);
  StepLoader loader(dataset, sampler, scale, {0, 8}, 4, Faults::none, augmentation);
  by_itself.start(1);
  loader.start(1);
  for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step) {
    const Batch& expected = by_itself.next();
    const Batch& batch = loader.next();
    for (std::size_t shard = 0; shard < 8; ++shard) {
      const std::int64_t pixels = batch.shards[shard].count * image.count();
      EXPECT_TRUE(std::equal(batch.shards[shard].images, batch.shards[shard].images + pixels,
                             expected.shards[shard].images));
    }
    gather_some(loader, 8, 4);
  }
}

/// Not in the step before, which has its samples.
TEST(StepLoader, ThrowsAtTheStepThatFailed) {
  FailingDataset dataset;
  const Sampler sampler(Stripes(100, 10, 2), Shuffle::none, 9);
  StepLoader loader(dataset, sampler, scale, {0, 2}, 1);
  loader.start(1, 2);
  expect_batch(loader.next(), sampler, 1, 2, {0, 2}, 4);
  gather_some(loader, 2, 1);
  EXPECT_STREQ(error_of([&] { loader.next(); }).what(), "row 37 is bad");
  dataset.bad_row = -1;
  expect_batch(loader.next(), sampler, 1, 3, {0, 2}, 4);
}

TEST(StepLoader, CountsItsMemory) {
  const NumberedDataset dataset(100, {16});
  const Sampler sampler(Stripes(100, 10, 2), Shuffle::none, 9);
  const StepLoader loader(dataset, sampler, scale, {0, 2}, 4);
  EXPECT_EQ(loader.bytes(), StepLoader::slots * 10 * (16 * 4 + 4 + 8));
}

TEST(StepLoader, RefusesMisuse) {
  const NumberedDataset dataset(20, {4});
  StepLoader loader(dataset, Sampler(Stripes(20, 10, 2), Shuffle::none, 9), scale, {0, 2}, 1);
  EXPECT_EQ(loader.pieces_ahead(), 0);
  EXPECT_EQ(error_of([&] { loader.next(); }).code(), ExitCode::internal);
  EXPECT_EQ(error_of([&] { loader.start(1, 2); }).code(), ExitCode::internal);
  loader.start(1, 1);
  loader.next();
  EXPECT_EQ(error_of([&] { loader.next(); }).code(), ExitCode::internal);
}

}  // namespace
}  // namespace lockstep::data
