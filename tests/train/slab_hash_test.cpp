#include "train/slab_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <set>
#include <vector>

#include "tensor/parameters.h"

namespace lockstep::train {
namespace {

constexpr std::size_t block = Parameters::block;

std::vector<float> numbers(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 1000) / 7;
  return values;
}

TEST(SlabHash, PartsAddUpToTheWhole) {
  const std::vector<float> slab = numbers(7 * block);
  const std::uint64_t whole = slab_hash(SlabKind::weights, 0, slab);
  for (std::size_t cut = 0; cut <= 7; ++cut) {
    const std::span all(slab);
    EXPECT_EQ(
        slab_hash(SlabKind::weights, 0, all.first(cut * block)) +
            slab_hash(SlabKind::weights, static_cast<std::int64_t>(cut * block), all.subspan(cut * block)),
        whole);
  }
}

TEST(SlabHash, EveryBitCounts) {
  std::vector<float> slab = numbers(2 * block);
  std::set<std::uint64_t> hashes{slab_hash(SlabKind::weights, 0, slab)};
  std::size_t changes = 0;
  for (const std::size_t place : {std::size_t{0}, block - 1, block, 2 * block - 1})
    for (unsigned bit = 0; bit < 32; ++bit, ++changes) {
      const float before = slab[place];
      slab[place] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(before) ^ (1U << bit));
      hashes.insert(slab_hash(SlabKind::weights, 0, slab));
      slab[place] = before;
    }
  EXPECT_EQ(hashes.size(), changes + 1);
}

TEST(SlabHash, KindAndPlaceCount) {
  const std::vector<float> slab = numbers(block);
  const std::set<std::uint64_t> hashes{
      slab_hash(SlabKind::weights, 0, slab), slab_hash(SlabKind::weights, block, slab),
      slab_hash(SlabKind::first_state, 0, slab), slab_hash(SlabKind::second_state, 0, slab)};
  EXPECT_EQ(hashes.size(), 4U);
}

TEST(SlabHash, BlocksThatChangePlacesAreNoticed) {
  std::vector<float> slab = numbers(2 * block);
  const std::uint64_t before = slab_hash(SlabKind::weights, 0, slab);
  std::swap_ranges(slab.begin(), slab.begin() + block, slab.begin() + block);
  EXPECT_NE(slab_hash(SlabKind::weights, 0, slab), before);
}

}  // namespace
}  // namespace lockstep::train
