#pragma once

#include <array>
#include <cstdint>

namespace lockstep {

/// Four random words from a 128-bit counter and a 64-bit key: Philox4x32-10 of J. Salmon et al., "Parallel
/// random numbers: as easy as 1, 2, 3", SC'11. A pure function, so any thread of any rank, or of a GPU, can
/// draw any number.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53U;
  constexpr std::uint64_t multiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t weyl0 = 0x9E3779B9U;  // golden ratio
  constexpr std::uint32_t weyl1 = 0xBB67AE85U;  // sqrt(3) - 1
  constexpr int rounds = 10;

  auto key0 = static_cast<std::uint32_t>(key);
  auto key1 = static_cast<std::uint32_t>(key >> 32U);
  for (int round = 0; round < rounds; ++round) {
    const std::uint64_t product0 = multiplier0 * counter[0];
    const std::uint64_t product1 = multiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key0,
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key1,
               static_cast<std::uint32_t>(product0)};
    key0 += weyl0;
    key1 += weyl1;
  }
  return counter;
}

/// What a random number is for. The values are part of the contract that a seed gives the same run: never
/// reuse one.
enum class Purpose : std::uint32_t {
  initialization = 1,
  shuffle = 2,
  dropout = 3,
  fault = 4,
  plan_check = 5,
  arithmetic_check = 6,
  augmentation = 7,
};

/// Random numbers of one purpose, addressed by (epoch, index, block). Cheap to copy; thread-safe.
class RandomKey {
 public:
  /// `stream` tells apart users with the same purpose: a parameter, a dropout layer, a stripe.
  constexpr RandomKey(std::uint64_t seed, Purpose purpose, std::uint32_t stream) {
    const auto derived = philox({static_cast<std::uint32_t>(purpose), stream, 0, 0}, seed);
    key_ = std::uint64_t{derived[0]} << 32U | derived[1];
  }

  /// Four words. `index` is a sample or an element, `block` counts the draws made for it.
  [[nodiscard]] constexpr std::array<std::uint32_t, 4> words(std::uint32_t epoch, std::uint64_t index,
                                                             std::uint32_t block) const {
    return philox({block, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U), epoch},
                  key_);
  }

 private:
  std::uint64_t key_ = 0;
};

/// Uniform in [0, 1), a multiple of 2^-24.
constexpr float unit_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24F;
}

/// Uniform in (0, 1), an odd multiple of 2^-53.
constexpr double open_unit_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} << 32U | low) >> 12U;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

}  // namespace lockstep
