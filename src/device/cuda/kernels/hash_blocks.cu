#include "device/cuda/kernels/hash_blocks.h"

#include <bit>

#include "base/check.h"
#include "device/cuda/kernels/xxh3.h"
#include "device/cuda/launch.h"
#include "tensor/parameters.h"

namespace lockstep::device::cuda {
namespace {

using namespace xxh3;

/// What is hashed at once, in words, and in xxh3's own blocks: all of them whole, the last with a last
/// stripe.
constexpr int words = Parameters::block * sizeof(float) / sizeof(std::uint64_t);
constexpr int block_words = stripes_of_block * lanes;
constexpr int blocks = words / block_words;
static_assert(words % block_words == 0 && blocks > 1);

/// One thread for each word of one of xxh3's blocks.
constexpr int threads = block_words;

struct Shared {
  std::array<std::uint64_t, words> contributions;  ///< block, stripe, lane
  std::array<std::uint64_t, blocks * lanes> sums;  ///< of a block's stripes
  Lanes accumulator;
};

/// Additions are what takes the time, and they commute between two scrambles: so first all words contribute
/// at once, then the stripes of each block are added up, and only then the blocks follow one another.
struct HashBlocks {
  Secret secret;
  Lanes start;
  const float* values;
  std::uint64_t first_seed;
  std::uint64_t* hashes;

  __device__ void operator()(const Block& block) const {
    Shared& shared = *block.shared<Shared>();
    const std::uint64_t seed = first_seed + static_cast<std::uint64_t>(block.index());
    const float* const input = values + block.index() * Parameters::block;
    const auto word = [&](int index) {
      return std::bit_cast<std::uint32_t>(input[2 * index]) |
             static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(input[2 * index + 1])) << 32;
    };

    block.for_each_thread([&](int thread) {
      const int lane = thread % lanes;
      const int stripe = thread / lanes;
      for (int i = 0; i < blocks; ++i) {
        const int index = i * block_words + thread;
        const bool last = i == blocks - 1 && stripe == stripes_of_block - 1;
        const int keys = last ? last_stripe_keys : 8 * stripe;
        shared.contributions[static_cast<std::size_t>(index)] =
            contribution(word(index), word(index ^ 1), key(secret, seed, keys + 8 * lane));
      }
    });
    block.for_each_thread([&](int thread) {
      if (thread >= blocks * lanes) return;
      const int lane = thread % lanes;
      std::uint64_t sum = 0;
      for (int stripe = 0; stripe < stripes_of_block; ++stripe)
        sum += shared.contributions[static_cast<std::size_t>(thread / lanes * block_words + stripe * lanes +
                                                             lane)];
      shared.sums[static_cast<std::size_t>(thread)] = sum;
    });
    block.for_each_thread([&](int lane) {
      if (lane >= lanes) return;
      std::uint64_t value = start[static_cast<std::size_t>(lane)];
      for (int i = 0; i < blocks; ++i) {
        if (i > 0) value = scramble(value, key(secret, seed, scramble_keys + 8 * lane));
        value += shared.sums[static_cast<std::size_t>(i * lanes + lane)];
      }
      shared.accumulator[static_cast<std::size_t>(lane)] = value;
    });
    block.for_each_thread([&](int thread) {
      if (thread > 0) return;
      std::uint64_t hash = 8 * words * prime64_1;
      for (int pair = 0; pair < lanes / 2; ++pair) {
        const int keys = merge_keys + 16 * pair;
        hash += folded_product(
            shared.accumulator[static_cast<std::size_t>(2 * pair)] ^ key(secret, seed, keys),
            shared.accumulator[static_cast<std::size_t>(2 * pair + 1)] ^ key(secret, seed, keys + 8));
      }
      hashes[block.index()] = avalanche(hash);
    });
  }
};

}  // namespace

void hash_blocks(cudaStream_t stream, DeviceSpan<const float> values, std::uint64_t first_seed,
                 DeviceSpan<std::uint64_t> hashes) {
  check(values.count == hashes.count * Parameters::block, "each block has a hash");
  launch_blocks(stream, hashes.count, threads, sizeof(Shared),
                HashBlocks{default_secret, first_values, values.data, first_seed, hashes.data});
}

}  // namespace lockstep::device::cuda
