#include "base/philox.h"

namespace lockstep {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
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

RandomKey::RandomKey(std::uint64_t seed, Purpose purpose, std::uint32_t stream) {
  const auto derived = philox({static_cast<std::uint32_t>(purpose), stream, 0, 0}, seed);
  key_ = std::uint64_t{derived[0]} << 32U | derived[1];
}

std::array<std::uint32_t, 4> RandomKey::words(std::uint32_t epoch, std::uint64_t index,
                                              std::uint32_t block) const {
  return philox({block, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U), epoch},
                key_);
}

}  // namespace lockstep
