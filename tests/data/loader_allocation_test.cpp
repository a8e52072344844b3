#include <gtest/gtest.h>

#include "comm/allocation_count.h"
#include "data/loader.h"
#include "data/numbered_dataset.h"

namespace lockstep::data {
namespace {

TEST(LoaderAllocation, NoneAfterTheConstructor) {
  const testing::NumberedDataset dataset(1000, {1, 7, 7});
  for (const auto shuffle : {config::Shuffle::none, config::Shuffle::stripes, config::Shuffle::global}) {
    const Sampler sampler(Stripes(1000, 24, 8), shuffle, 9);
    Loader loader(dataset, sampler, 1.0F, {0, 8});
    loader.start(1);
    loader.next();
    const std::int64_t before = comm::testing::allocation_count();
    ASSERT_GT(before, 0) << "allocations are counted";
    float sum = 0;
    for (std::int64_t epoch = 2; epoch < 5; ++epoch) {
      loader.start(epoch);
      for (std::int64_t step = 0; step < sampler.stripes().steps(); ++step)
        sum += loader.next().shards[0].images[0];
    }
    EXPECT_EQ(comm::testing::allocation_count(), before);
    EXPECT_GT(sum, 0);
  }
}

}  // namespace
}  // namespace lockstep::data
