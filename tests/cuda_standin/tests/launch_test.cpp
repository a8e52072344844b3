#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using device::cuda::Block;
using LaunchTest = StandinTest;
using LaunchDeathTest = StandinTest;

struct CountUp {
  int* at;
  void operator()(std::int64_t i) const { at[i] += static_cast<int>(i) + 1; }
};

TEST_F(LaunchTest, EachElementOnce) {
  for (const int n : {1, 2, 7, 100}) {
    const TestStream stream;
    const DeviceInts values(static_cast<std::size_t>(n));
    std::vector<int> expected(static_cast<std::size_t>(n));
    std::iota(expected.begin(), expected.end(), 1);
    for (int seed = 0; seed < 20; ++seed) {
      configure("seed=" + std::to_string(seed));
      values.clear(stream);
      device::cuda::impl::launch_n(stream, n, CountUp{values.data()});
      EXPECT_EQ(values.read(stream), expected);
    }
  }
}

struct AppendIndex {
  int* value;
  void operator()(std::int64_t i) const { *value = 10 * *value + static_cast<int>(i) + 1; }
};

TEST_F(LaunchTest, ElementsTakeTurnsInSeveralOrders) {
  const TestStream stream;
  const DeviceInts value(1);
  std::set<int> seen;
  for (int i = 0; i < 100; ++i) {
    value.clear(stream);
    device::cuda::impl::launch_n(stream, 4, AppendIndex{value.data()});
    seen.insert(value.read(stream).front());
  }
  EXPECT_EQ(seen, (std::set<int>{1234, 4321, 3412, 2413}));
}

/// Each block adds up its threads' numbers, through shared memory.
struct SumOfBlock {
  int* sums;
  int* clean;
  void operator()(const Block& block) const {
    int* shared = block.shared<int>();
    if (std::isnan(std::bit_cast<float>(shared[0]))) clean[block.index()] = 1;
    block.for_each_thread(
        [&](int thread) { shared[thread] = static_cast<int>(block.index()) * 100 + thread; });
    for (int half = block.threads() / 2; half > 0; half /= 2) {
      block.for_each_thread([&](int thread) {
        if (thread < half) shared[thread] += shared[thread + half];
      });
    }
    block.for_each_thread([&](int thread) {
      if (thread == 0) sums[block.index()] = shared[0];
    });
  }
};

TEST_F(LaunchTest, ABlocksThreadsShareMemoryThatStartsPoisoned) {
  for (int seed = 0; seed < 20; ++seed) {
    configure("seed=" + std::to_string(seed));
    const TestStream stream;
    const DeviceInts sums(5);
    const DeviceInts clean(5);
    clean.clear(stream);
    device::cuda::impl::launch_blocks(stream, 5, 8, 8 * sizeof(int), SumOfBlock{sums.data(), clean.data()});
    EXPECT_EQ(sums.read(stream), (std::vector<int>{28, 828, 1628, 2428, 3228}));
    EXPECT_EQ(clean.read(stream), (std::vector<int>{1, 1, 1, 1, 1}));
  }
}

TEST_F(LaunchDeathTest, BlocksFitTheDevice) {
  const TestStream stream;
  const auto launch = [&](std::int64_t blocks, int threads, std::size_t shared) {
    device::cuda::impl::launch_blocks(stream, blocks, threads, shared, SumOfBlock{});
  };
  EXPECT_DEATH(launch(1, 1025, 0), "1 to 1024 threads");
  EXPECT_DEATH(launch(1, 32, 50'000), "48 KiB of shared memory");
  EXPECT_DEATH(launch(0, 32, 0), "blocks");
}

}  // namespace
}  // namespace lockstep::standin
