#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/activity.h"

/// What to make of a job in which nothing moves: pure functions of what one rank has heard of the others.
namespace lockstep::comm {

struct RankSign {
  int rank = 0;
  std::string host;
  /// moving: its process is alive. silent: nothing has been heard of it. left: it said that it goes, on the
  /// way to an orderly end.
  enum class Sign : std::uint8_t { alive, silent, left } sign = Sign::alive;
  Activity::View activity;  ///< the last that was heard
};

/// Whose fault a standstill is, by rank; empty when all wait for each other at the same point.
///
/// Silent ranks if there are any; else those that left; else those that do not wait for others. Where all
/// wait, those that are behind: in an earlier step or phase than the one furthest on.
std::vector<int> culprits(std::span<const RankSign> ranks);

/// The message for a person: operation, step, the culprits with their hosts, and what each of the others is
/// at. Requires a rank.
std::string standstill_message(std::span<const RankSign> ranks, std::int64_t seconds);

/// How many others are to speak before this rank when those that watch are silent: so that one does, the
/// lowest that lives, whatever host has gone. First a rank of each host, by its lowest rank but 0, then the
/// rest. `hosts` by rank; `rank` is not 0.
std::int64_t turn_to_speak(int rank, std::span<const std::string> hosts);

}  // namespace lockstep::comm
