#include "train/slab_hash.h"

#include "base/check.h"
#include "io/hash.h"
#include "tensor/parameters.h"

namespace lockstep::train {

std::uint64_t block_seed(SlabKind kind, std::int64_t block) {
  constexpr int kind_shift = 56;  // above the numbers of blocks
  return (static_cast<std::uint64_t>(kind) << kind_shift) + static_cast<std::uint64_t>(block);
}

std::uint64_t slab_hash(SlabKind kind, std::int64_t first, std::span<const float> part) {
  constexpr auto block = static_cast<std::size_t>(Parameters::block);
  check(first % Parameters::block == 0 && part.size() % block == 0, "slabs are hashed in whole blocks");
  std::uint64_t seed = block_seed(kind, first / Parameters::block);
  std::uint64_t sum = 0;
  for (std::size_t begin = 0; begin < part.size(); begin += block)
    sum += io::hash64(std::as_bytes(part.subspan(begin, block)), seed++);
  return sum;
}

}  // namespace lockstep::train
