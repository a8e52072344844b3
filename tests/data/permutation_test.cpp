#include "data/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/philox.h"

namespace lockstep::data {
namespace {

Permutation::RoundKeys keys_of(std::uint32_t seed) {
  Permutation::RoundKeys keys{};
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    const auto words = philox({seed, i, 0, 0}, 1);
    keys.at(i) = std::uint64_t{words[0]} << 32U | words[1];
  }
  return keys;
}

std::vector<std::int64_t> images(std::int64_t size, std::uint32_t seed) {
  const Permutation permute(size, keys_of(seed));
  std::vector<std::int64_t> images;
  for (std::int64_t i = 0; i < size; ++i) images.push_back(permute(i));
  return images;
}

/// Sum over the cells of (count - expected)² / expected.
template <class Counts>
double chi_squared(const Counts& counts, double expected) {
  double sum = 0;
  for (const double count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

TEST(Permutation, IsABijection) {
  for (const std::int64_t size :
       {1,   2,   3,   4,   5,    7,    8,    9,    15,   16,     17,     31,     64,     97,     127,    128,
        129, 255, 256, 257, 1000, 1009, 4096, 4097, 7500, 16'384, 16'385, 60'000, 65'536, 65'537, 104'729})
    for (std::uint32_t seed = 0; seed < 3; ++seed) {
      std::vector<bool> hit(static_cast<std::size_t>(size));
      for (const std::int64_t image : images(size, seed)) {
        ASSERT_GE(image, 0);
        ASSERT_LT(image, size);
        ASSERT_FALSE(hit[static_cast<std::size_t>(image)]) << size;
        hit[static_cast<std::size_t>(image)] = true;
      }
    }
}

TEST(Permutation, IsAFunctionOfItsKeys) {
  EXPECT_EQ(images(1000, 1), images(1000, 1));
  EXPECT_NE(images(1000, 1), images(1000, 2));
}

// All orders of a few elements are equally likely. 99.99 % of chi-squared with 5, 23 and 119 degrees of
// freedom lie below 25.7, 58.6 and 184.
TEST(Permutation, MakesEveryOrderOfAFewElements) {
  for (const auto& [size, orders, limit] : {std::tuple{3, 6, 25.7}, {4, 24, 58.6}, {5, 120, 184.0}}) {
    constexpr int per_order = 500;
    std::map<std::vector<std::int64_t>, int> counts;
    for (int seed = 0; seed < orders * per_order; ++seed)
      ++counts[images(size, static_cast<std::uint32_t>(seed))];
    ASSERT_EQ(counts.size(), static_cast<std::size_t>(orders));
    std::vector<double> cells;
    for (const auto& [order, count] : counts) cells.push_back(count);
    EXPECT_LT(chi_squared(cells, per_order), limit) << size;
  }
}

// Where each element lands, over many keys: 99.99 % of chi-squared with n·(n−1) degrees of freedom lie below
// about d + 3.72·√(2d).
TEST(Permutation, LandsEverywhereAlike) {
  for (const int size : {2, 6, 10, 16, 17, 40}) {
    const int draws = 300 * size;
    std::vector<double> counts(static_cast<std::size_t>(size * size));
    for (int seed = 0; seed < draws; ++seed) {
      const auto landed = images(size, static_cast<std::uint32_t>(seed));
      for (int i = 0; i < size; ++i)
        ++counts[static_cast<std::size_t>(i * size) +
                 static_cast<std::size_t>(landed[static_cast<std::size_t>(i)])];
    }
    const double degrees = (size - 1.0) * (size - 1.0);
    EXPECT_LT(chi_squared(counts, 300), degrees + 3.72 * std::sqrt(2 * degrees) + 10) << size;
  }
}

// Neighbours must not stay neighbours: the distances between the images of i and i + 1 spread evenly.
TEST(Permutation, PartsNeighbours) {
  constexpr std::int64_t size = 7500;
  constexpr int cells = 50;
  std::vector<double> counts(cells);
  const auto landed = images(size, 5);
  for (std::size_t i = 0; i + 1 < landed.size(); ++i) {
    const std::int64_t distance = (landed[i + 1] - landed[i] + size) % size;
    ++counts[static_cast<std::size_t>(distance * cells / size)];
  }
  EXPECT_LT(chi_squared(counts, static_cast<double>(size - 1) / cells), 49 + 3.72 * std::sqrt(98.0) + 10);
}

TEST(Permutation, WorksBeyondThirtyTwoBits) {
  constexpr std::int64_t size = (std::int64_t{1} << 31) + 11;
  const Permutation permute(size, keys_of(3));
  std::vector<std::int64_t> landed;
  for (std::int64_t i = 0; i < 5000; ++i) landed.push_back(permute(size - 1 - i));
  EXPECT_GT(std::ranges::max(landed), size / 100 * 99);
  EXPECT_LT(std::ranges::min(landed), size / 100);
  EXPECT_LT(std::ranges::max(landed), size);
  std::ranges::sort(landed);
  EXPECT_EQ(std::ranges::adjacent_find(landed), landed.end());
}

// The order is part of what a seed means: it must not change with a release.
TEST(Permutation, StaysAsItIs) {
  EXPECT_EQ(images(10, 0), (std::vector<std::int64_t>{7, 4, 8, 6, 1, 9, 2, 5, 0, 3}));
}

}  // namespace
}  // namespace lockstep::data
