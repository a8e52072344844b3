#pragma once

#include <array>
#include <cstdint>

namespace lockstep {

/// Four random words from a 128-bit counter and a 64-bit key: Philox4x32-10 of J. Salmon et al., "Parallel
/// random numbers: as easy as 1, 2, 3", SC'11. A pure function, so any thread of any rank can draw any
/// number.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key);

/// What a random number is for. The values are part of the contract that a seed gives the same run: never
/// reuse one.
enum class Purpose : std::uint32_t {
  initialization = 1,
  shuffle = 2,
  dropout = 3,
  fault = 4,
  plan_check = 5,
  arithmetic_check = 6,
};

/// Random numbers of one purpose, addressed by (epoch, index, block). Cheap to copy; thread-safe.
class RandomKey {
 public:
  /// `stream` tells apart users with the same purpose: a parameter, a dropout layer, a stripe.
  RandomKey(std::uint64_t seed, Purpose purpose, std::uint32_t stream);

  /// Four words. `index` is a sample or an element, `block` counts the draws made for it.
  [[nodiscard]] std::array<std::uint32_t, 4> words(std::uint32_t epoch, std::uint64_t index,
                                                   std::uint32_t block) const;

 private:
  std::uint64_t key_;
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
