#pragma once

#include <cstdint>

namespace lockstep {

/// Half-open range of indices.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  [[nodiscard]] constexpr std::int64_t size() const { return end - begin; }
  [[nodiscard]] constexpr bool empty() const { return end <= begin; }
  [[nodiscard]] constexpr bool contains(std::int64_t index) const { return begin <= index && index < end; }
  friend constexpr bool operator==(const Range&, const Range&) = default;
};

/// Piece `index` of `total` things cut into `pieces` nearly equal runs: [⌊index·total/pieces⌋,
/// ⌊(index+1)·total/pieces⌋). The one rule by which Lockstep cuts anything: a batch into shards, shards among
/// ranks, the parameters into slices. Requires 0 <= index < pieces and total · pieces < 2^63.
constexpr Range piece(std::int64_t total, std::int64_t pieces, std::int64_t index) {
  return {index * total / pieces, (index + 1) * total / pieces};
}

/// The piece that `position` falls in: the inverse of piece(). Requires 0 <= position < total.
constexpr std::int64_t piece_containing(std::int64_t total, std::int64_t pieces, std::int64_t position) {
  return ((position + 1) * pieces - 1) / total;
}

}  // namespace lockstep
