#include <gtest/gtest.h>

#include "device_cuda/standin_device.h"
#include "io/hash.h"
#include "tensor/parameters.h"

namespace lockstep::testing {
namespace {

class HashBlocks : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(HashBlocks, are_those_of_the_library) {
  const std::uint64_t first_seed = GetParam();
  const StandinDevice device;
  for (const std::int64_t blocks : {0, 1, 2, 19}) {
    // Words of all bits, NaN among them: hashes are of bytes.
    std::mt19937 random(static_cast<unsigned>(blocks));
    std::vector<float> values(static_cast<std::size_t>(blocks * Parameters::block));
    for (float& value : values) value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    const auto slab = device.upload(values);
    const auto hashes = device->make_array<std::uint64_t>(blocks);
    device->hash_blocks(device.stream(), slab.span(), first_seed, hashes.span());

    std::vector<std::uint64_t> expected;
    for (std::int64_t block = 0; block < blocks; ++block)
      expected.push_back(
          io::hash64(std::as_bytes(std::span(values).subspan(
                         static_cast<std::size_t>(block * Parameters::block), Parameters::block)),
                     first_seed + static_cast<std::uint64_t>(block)));
    EXPECT_EQ(device.download(hashes), expected) << blocks << " blocks";
  }
}

// The last makes seeds wrap around.
INSTANTIATE_TEST_SUITE_P(Seeds, HashBlocks, ::testing::Values(0, 1, 0x9e3779b97f4a7c15, ~std::uint64_t{3}));

TEST(HashBlocks, notices_each_word) {
  const StandinDevice device;
  std::vector<float> values = random_floats(Parameters::block, 3);
  const auto slab = device.upload(values);
  const auto hash = device->make_array<std::uint64_t>(1);
  const auto hash_now = [&] {
    device.store(slab, values);
    device->hash_blocks(device.stream(), slab.span(), 7, hash.span());
    return device.download(hash).front();
  };
  const std::uint64_t original = hash_now();
  for (float& value : values) {
    const float kept = value;
    value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ 0x400);
    ASSERT_NE(hash_now(), original) << "element " << &value - values.data();
    value = kept;
  }
  EXPECT_EQ(hash_now(), original);
}

}  // namespace
}  // namespace lockstep::testing
