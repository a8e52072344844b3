#include <gtest/gtest.h>

#include "data/loader.h"
#include "data/numbered_dataset.h"
#include "data/step_loader.h"
#include "support/allocation_watch.h"

namespace lockstep::data {
namespace {

TEST(LoaderAllocation, NoneOfAStepLoaderAfterTheConstructor) {
  const testing::NumberedDataset dataset(1000, {1, 7, 7});
  const Sampler sampler(Stripes(1000, 24, 8), config::Shuffle::stripes, 9);
  StepLoader loader(dataset, sampler, 1.0F, {0, 8}, 1);
  lockstep::testing::start_watching();
  float sum = 0;
  for (std::int64_t epoch = 1; epoch < 4; ++epoch) {
    loader.start(epoch);
    for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step) {
      sum += loader.next().shards[0].images[0];
      for (std::int64_t piece = 0; piece < loader.pieces_ahead(); piece += 2) loader.gather_ahead(piece, 0);
    }
  }
  const lockstep::testing::Allocations made = lockstep::testing::stop_watching();
  EXPECT_EQ(made.own, 0) << made.first_own;
  EXPECT_GT(sum, 0);
}

TEST(LoaderAllocation, NoneAfterTheConstructor) {
  const testing::NumberedDataset dataset(1000, {1, 7, 7});
  for (const auto shuffle : {config::Shuffle::none, config::Shuffle::stripes, config::Shuffle::global}) {
    const Sampler sampler(Stripes(1000, 24, 8), shuffle, 9);
    Loader loader(dataset, sampler, 1.0F, {0, 8});
    loader.start(1);
    loader.next();
    lockstep::testing::start_watching();
    float sum = 0;
    for (std::int64_t epoch = 2; epoch < 5; ++epoch) {
      loader.start(epoch);
      for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step)
        sum += loader.next().shards[0].images[0];
    }
    const lockstep::testing::Allocations made = lockstep::testing::stop_watching();
    EXPECT_EQ(made.own, 0) << made.first_own;
    EXPECT_GT(sum, 0);
  }
}

}  // namespace
}  // namespace lockstep::data
