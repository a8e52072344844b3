#include "data/permutation.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace lockstep::data {
namespace {

/// Halves of two bits leave some orders out, however many rounds; from three bits on, all orders of a few
/// elements are equally likely by any test.
constexpr unsigned least_half_bits = 4;

/// A bijection of 64 bits in which each bit of the result depends on all of the value: the finaliser of
/// MurmurHash3 (A. Appleby).
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 33U)) * 0xff51afd7ed558ccdU;
  value = (value ^ (value >> 33U)) * 0xc4ceb9fe1a85ec53U;
  return value ^ (value >> 33U);
}

}  // namespace

Permutation::Permutation(std::int64_t size, const RoundKeys& keys)
    : size_(static_cast<std::uint64_t>(size)), half_bits_(least_half_bits), keys_(keys) {
  check(size >= 1, "a permutation has elements");
  const auto bits = static_cast<unsigned>(std::bit_width(size_ - 1));
  half_bits_ = std::max(least_half_bits, (bits + 1) / 2);
}

std::uint64_t Permutation::network(std::uint64_t value) const {
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t left = value >> half_bits_;
  std::uint64_t right = value & mask;
  for (const std::uint64_t key : keys_) {
    const std::uint64_t next = left ^ (mix(right ^ key) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

std::int64_t Permutation::operator()(std::int64_t index) const {
  check(0 <= index && index < size(), "an index lies in the permutation");
  // The walk follows a cycle of the network's permutation that leaves [0, size) and must return to it.
  auto value = static_cast<std::uint64_t>(index);
  do {
    value = network(value);
  } while (value >= size_);
  return static_cast<std::int64_t>(value);
}

}  // namespace lockstep::data
