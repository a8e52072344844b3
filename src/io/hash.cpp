#include "io/hash.h"

#include <fmt/core.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // the widest vectors that the processor has; the same values
#else
#include <xxhash.h>
#endif

#include <new>

namespace lockstep::io {

Hasher::Hasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_64bits_reset(state_.get());
}

void Hasher::update(std::span<const std::byte> bytes) {
  XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
}

std::uint64_t Hasher::value() const {
  return XXH3_64bits_digest(state_.get());
}

std::string Hasher::text() const {
  return fmt::format("xxh3-64:{:016x}", value());
}

void Hasher::Free::operator()(XXH3_state_s* state) const noexcept {
  XXH3_freeState(state);
}

std::uint64_t hash64(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::string hash_text(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.text();
}

}  // namespace lockstep::io
