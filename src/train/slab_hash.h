#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lockstep::train {

/// Which slab a hash is of, so that equal contents hash differently: weights, a state of the optimizer, or
/// the average of weights.
enum class SlabKind : std::uint8_t { weights, first_state, second_state, average };

/// That of an optimizer's states, in the order of Optimizer::state().
inline SlabKind kind_of_state(std::size_t state) {
  return state == 0 ? SlabKind::first_state : SlabKind::second_state;
}

/// The seed of a block's hash, by its number; those of consecutive blocks are consecutive.
std::uint64_t block_seed(SlabKind kind, std::int64_t block);

/// Hash of floats [first, first + part.size()) of a slab, whole blocks of Parameters::block: the sum, modulo
/// 2^64, over the blocks of the XXH3-64 of each, seeded with its kind and number. Hashes of parts therefore
/// add up to the hash of the whole, however ranks and threads cut it. Notices damage and differences, not
/// malice. Any thread; allocates nothing.
std::uint64_t slab_hash(SlabKind kind, std::int64_t first, std::span<const float> part);

}  // namespace lockstep::train
