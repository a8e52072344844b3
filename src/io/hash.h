#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct XXH3_state_s;

namespace lockstep::io {

/// XXH3-64 of a stream of bytes: notices damage, not malice.
class Hasher {
 public:
  Hasher();

  void update(std::span<const std::byte> bytes);
  /// Of all bytes so far.
  [[nodiscard]] std::uint64_t value() const;
  /// "xxh3-64:" and 16 hexadecimal digits, as stored in files.
  [[nodiscard]] std::string text() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

/// XXH3-64 of `bytes` with a seed: the same bytes hash differently in another place. Any thread; allocates
/// nothing.
std::uint64_t hash64(std::span<const std::byte> bytes, std::uint64_t seed);

/// Hasher::text() of `bytes`.
std::string hash_text(std::span<const std::byte> bytes);

}  // namespace lockstep::io
