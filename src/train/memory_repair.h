#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace lockstep::train {

/// Hashes of all blocks of the weights on one rank: as they were written, and as they are now. (What was
/// written is the same on all ranks, except perhaps where each updates everything by itself.)
struct BlocksOnRank {
  std::vector<std::uint64_t> written;
  std::vector<std::uint64_t> now;
};

/// A block that is damaged on rank `to` and whole on rank `from`.
struct Fetch {
  std::int64_t block = 0;
  int to = 0;
  int from = 0;
  friend bool operator==(const Fetch&, const Fetch&) = default;
};

/// What makes the weights of all ranks whole again, by block and then by rank; none when a damaged block is
/// whole on no rank. A pure function.
std::optional<std::vector<Fetch>> plan_repair(std::span<const BlocksOnRank> ranks);

/// Memory that has failed a few times within a few steps is not repaired once more.
class RepairLimit {
 public:
  static constexpr int repairs = 3;  ///< at most so many in any `steps` consecutive steps
  static constexpr std::int64_t steps = 100;

  /// Counts a repair in a step, unless it would be one too many. Steps never decrease.
  bool allows(std::int64_t step);

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min() / 2;
  std::array<std::int64_t, repairs> last_{never, never, never};  // a ring
  std::size_t oldest_ = 0;
};

}  // namespace lockstep::train
