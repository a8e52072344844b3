#include "base/philox.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace lockstep {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The known answers for philox4x32 with 10 rounds that its authors publish with Random123 (kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffffffffffff),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0'a4093822),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// A seed must give the same run in every later release: these are today's numbers.
TEST(RandomKey, NumbersAreThoseOfTheFirstRelease) {
  const RandomKey key(1, Purpose::shuffle, 5);
  EXPECT_EQ(key.words(2, 3, 4), (Words{0x48f4d1a7, 0xdcdad6ff, 0xddcd6f89, 0x5a3d4aff}));
}

TEST(RandomKey, EachPartOfTheAddressGivesOtherNumbers) {
  std::set<Words> seen;
  int drawn = 0;
  const auto draw = [&](const RandomKey& key, std::uint32_t epoch, std::uint64_t index, std::uint32_t block) {
    seen.insert(key.words(epoch, index, block));
    ++drawn;
  };
  const std::vector<std::uint64_t> seeds = {0, 1, 2, std::uint64_t{1} << 32U, ~std::uint64_t{0}};
  for (const std::uint64_t seed : seeds)
    for (const Purpose purpose : {Purpose::initialization, Purpose::shuffle, Purpose::dropout})
      for (const std::uint32_t stream : {0U, 1U, 7U}) {
        const RandomKey key(seed, purpose, stream);
        for (const std::uint32_t epoch : {0U, 1U, 30U})
          for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32U})
            for (const std::uint32_t block : {0U, 1U}) draw(key, epoch, index, block);
      }
  EXPECT_EQ(static_cast<int>(seen.size()), drawn);
}

TEST(RandomKey, IsAPureFunction) {
  const RandomKey key(9, Purpose::dropout, 1);
  const RandomKey copy = key;  // NOLINT(performance-unnecessary-copy-initialization): copying is the point
  static_cast<void>(key.words(0, 0, 0));
  EXPECT_EQ(key.words(4, 5, 6), copy.words(4, 5, 6));
}

TEST(UnitFloat, CoversTheHalfOpenUnitInterval) {
  EXPECT_EQ(unit_float(0), 0.0F);
  EXPECT_EQ(unit_float(0x80000000U), 0.5F);
  EXPECT_EQ(unit_float(0xffffffffU), 1.0F - 0x1p-24F);
}

TEST(OpenUnitDouble, NeverTouchesTheEnds) {
  EXPECT_EQ(open_unit_double(0, 0), 0x1p-53);
  EXPECT_EQ(open_unit_double(0xffffffffU, 0xffffffffU), 1.0 - 0x1p-53);
  EXPECT_LT(open_unit_double(0x7fffffffU, 0xffffffffU), 0.5);
  EXPECT_GT(open_unit_double(0x80000000U, 0), 0.5);
}

}  // namespace
}  // namespace lockstep
