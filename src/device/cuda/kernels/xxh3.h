#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>

/// The parts of XXH3 with 64 bits, for inputs longer than 240 bytes, as its specification has them (Y.
/// Collet, "xxHash fast digest algorithm", version 0.2.0, XXH3). Such an input is cut into stripes of 8
/// words. An accumulator of 8 lanes takes up stripe after stripe by additions, which may happen in any order,
/// and is scrambled after each 16 of them (1 KiB).
namespace lockstep::device::cuda::xxh3 {

inline constexpr int lanes = 8;
inline constexpr int stripes_of_block = 16;

inline constexpr std::uint64_t prime32_1 = 0x9e3779b1;
inline constexpr std::uint64_t prime32_2 = 0x85ebca77;
inline constexpr std::uint64_t prime32_3 = 0xc2b2ae3d;
inline constexpr std::uint64_t prime64_1 = 0x9e3779b185ebca87;
inline constexpr std::uint64_t prime64_2 = 0xc2b2ae3d27d4eb4f;
inline constexpr std::uint64_t prime64_3 = 0x165667b19e3779f9;
inline constexpr std::uint64_t prime64_4 = 0x85ebca77c2b2ae63;
inline constexpr std::uint64_t prime64_5 = 0x27d4eb2f165667c5;

/// The default secret, 192 bytes, as little-endian words.
using Secret = std::array<std::uint64_t, 24>;
inline constexpr Secret default_secret = {
    0xbe4ba423396cfeb8ULL, 0x1cad21f72c81017cULL, 0xdb979083e96dd4deULL, 0x1f67b3b7a4a44072ULL,
    0x78e5c0cc4ee679cbULL, 0x2172ffcc7dd05a82ULL, 0x8e2443f7744608b8ULL, 0x4c263a81e69035e0ULL,
    0xcb00c391bb52283cULL, 0xa32e531b8b65d088ULL, 0x4ef90da297486471ULL, 0xd8acdea946ef1938ULL,
    0x3f349ce33f76faa8ULL, 0x1d4f0bc7c7bbdcf9ULL, 0x3159b4cd4be0518aULL, 0x647378d9c97e9fc8ULL,
    0xc3ebd33483acc5eaULL, 0xeb6313faffa081c5ULL, 0x49daf0b751dd0d17ULL, 0x9e68d429265516d3ULL,
    0xfca1477d58be162bULL, 0xce31d07ad1b8f88fULL, 0x280416958f3acb45ULL, 0x7e404bbbcafbd7afULL,
};
inline constexpr int secret_bytes = 8 * 24;
/// Where in the secret, in bytes, the keys of an operation begin.
inline constexpr int scramble_keys = secret_bytes - 64;
inline constexpr int last_stripe_keys = secret_bytes - 64 - 7;
inline constexpr int merge_keys = 11;

/// A lane's value before the first stripe.
using Lanes = std::array<std::uint64_t, lanes>;
inline constexpr Lanes first_values = {
    prime32_3, prime64_1, prime64_2, prime64_3, prime64_4, prime32_2, prime64_5, prime32_1,
};

/// The word at a byte of the secret that belongs to a seed: it is added to the even words of the default
/// secret, and taken from the odd ones.
__device__ inline std::uint64_t key(const Secret& secret, std::uint64_t seed, int byte) {
  const auto word = [&](int index) {
    return secret[static_cast<std::size_t>(index)] + (index % 2 == 0 ? seed : 0 - seed);
  };
  const int shift = 8 * (byte % 8);
  const std::uint64_t low = word(byte / 8) >> shift;
  return shift == 0 ? low : low | word(byte / 8 + 1) << (64 - shift);
}

/// What a lane takes up of a stripe: the product of its own word's halves, and its neighbour's word.
__device__ inline std::uint64_t contribution(std::uint64_t own, std::uint64_t neighbour, std::uint64_t key) {
  const std::uint64_t keyed = own ^ key;
  return neighbour + (keyed & 0xffffffff) * (keyed >> 32);
}

__device__ inline std::uint64_t scramble(std::uint64_t lane, std::uint64_t key) {
  return (lane ^ (lane >> 47) ^ key) * prime32_1;
}

/// The exclusive or of both halves of a product of 128 bits.
__device__ inline std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  const std::uint64_t low_low = (a & 0xffffffff) * (b & 0xffffffff);
  const std::uint64_t high_low = (a >> 32) * (b & 0xffffffff);
  const std::uint64_t low_high = (a & 0xffffffff) * (b >> 32);
  const std::uint64_t cross = (low_low >> 32) + (high_low & 0xffffffff) + low_high;
  const std::uint64_t high = (high_low >> 32) + (cross >> 32) + (a >> 32) * (b >> 32);
  return high ^ (cross << 32 | (low_low & 0xffffffff));
}

__device__ inline std::uint64_t avalanche(std::uint64_t hash) {
  hash ^= hash >> 37;
  hash *= 0x165667919e3779f9;
  return hash ^ (hash >> 32);
}

}  // namespace lockstep::device::cuda::xxh3
