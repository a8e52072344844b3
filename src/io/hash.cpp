#include "io/hash.h"

#include <fmt/core.h>
#include <xxhash.h>

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

std::string hash_text(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.text();
}

}  // namespace lockstep::io
