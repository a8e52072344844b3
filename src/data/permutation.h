#pragma once

#include <array>
#include <cstdint>

namespace lockstep::data {

/// A pseudo-random permutation of [0, size) as a pure function: no table, whatever the size, and the same
/// for every rank, thread and machine.
///
/// A balanced Feistel network (M. Luby and C. Rackoff, 1988) on the smallest even number of bits, at least
/// eight, that holds `size`; what falls outside is sent through again until it falls inside (cycle walking,
/// J. Black and P. Rogaway, 2002): four times at most on average, more for fewer than 64 elements. Cheap to
/// copy; thread-safe.
class Permutation {
 public:
  static constexpr int rounds = 8;
  using RoundKeys = std::array<std::uint64_t, rounds>;

  /// Requires size >= 1. Independent keys give independent permutations.
  Permutation(std::int64_t size, const RoundKeys& keys);

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  /// The image of `index`, 0 <= index < size.
  [[nodiscard]] std::int64_t operator()(std::int64_t index) const;

 private:
  [[nodiscard]] std::uint64_t network(std::uint64_t value) const;

  std::uint64_t size_;
  unsigned half_bits_;
  RoundKeys keys_;
};

}  // namespace lockstep::data
