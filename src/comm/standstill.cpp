#include "comm/standstill.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace lockstep::comm {
namespace {

using Sign = RankSign::Sign;
using Place = std::pair<std::int64_t, Phase>;  // ordered as they come in a training

Place place_of(const RankSign& rank) {
  return {rank.activity.step, rank.activity.phase};
}

/// Whom a rank waits for in packing may still wait for messages from other hosts: that is one meeting.
Place meeting_at(Place place) {
  if (place.second == Phase::packing) place.second = Phase::gathering;
  return place;
}

template <class Predicate>
std::vector<int> those(std::span<const RankSign> ranks, Predicate predicate) {
  std::vector<int> found;
  for (const RankSign& rank : ranks)
    if (predicate(rank)) found.push_back(rank.rank);
  return found;
}

/// "sharing the status, step 17".
std::string text_of(const Place& place) {
  return place.first == 0 ? std::string(name_of(place.second))
                          : fmt::format("{}, step {}", name_of(place.second), place.first);
}

/// "ranks 0, 2 to 5 and 8"; `ranks` ascend.
std::string list_of(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (std::size_t first = 0; first < ranks.size();) {
    std::size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (last - first >= 2) {
      runs.push_back(fmt::format("{} to {}", ranks[first], ranks[last]));
      first = last + 1;
    } else {
      runs.push_back(std::to_string(ranks[first++]));
    }
  }
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < runs.size(); ++i)
    text += (i == 0 ? "" : i + 1 == runs.size() ? " and " : ", ") + runs[i];
  return text;
}

/// "rank 3 on node7", or "rank 1 on node2 and rank 3 on node7"; of very many some.
std::string names_of(std::span<const RankSign> ranks, const std::vector<int>& chosen) {
  constexpr std::size_t most = 16;
  std::string text;
  const std::size_t shown = std::min(chosen.size(), most);
  for (std::size_t i = 0; i < shown; ++i) {
    const auto found = std::ranges::find(ranks, chosen[i], &RankSign::rank);
    text += fmt::format("{}rank {} on {}",
                        i == 0                   ? ""
                        : i + 1 == chosen.size() ? " and "
                                                 : ", ",
                        chosen[i], found->host);
  }
  if (chosen.size() > most) text += fmt::format(" and {} more", chosen.size() - most);
  return text;
}

/// What a rank that still lives is at.
std::string doing(const RankSign& rank) {
  if (rank.sign == Sign::left) return "has left the training";
  return fmt::format("{}{}", rank.activity.waiting ? "waiting for others while " : "",
                     text_of(place_of(rank)));
}

/// Where the job stands: the furthest that a rank which lives has come.
Place furthest(std::span<const RankSign> ranks) {
  Place place = place_of(ranks.front());
  bool found = false;
  for (const RankSign& rank : ranks) {
    if (rank.sign != Sign::alive) continue;
    place = found ? std::max(place, place_of(rank)) : place_of(rank);
    found = true;
  }
  return place;
}

std::string reason(std::span<const RankSign> ranks, const std::vector<int>& guilty, std::int64_t seconds) {
  if (guilty.empty())
    return fmt::format("all ranks wait for each other for {} s; suspect the network between their hosts",
                       seconds);
  const std::string names = names_of(ranks, guilty);
  const std::string_view has = guilty.size() == 1 ? "has" : "have";
  const auto& first = *std::ranges::find(ranks, guilty.front(), &RankSign::rank);
  if (first.sign == Sign::silent)
    return fmt::format("{} {} given no sign of life for {} s; suspect the host, or the network to it", names,
                       has, seconds);
  return fmt::format("{} {} made no progress for {} s", names, has, seconds);
}

}  // namespace

std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::set_up:
      return "setting up";
    case Phase::loading:
      return "loading samples";
    case Phase::computing:
      return "computing shards";
    case Phase::computing_together:
      return "computing together with other ranks";
    case Phase::checking_memory:
      return "checking the memory";
    case Phase::sharing_status:
      return "sharing the status";
    case Phase::preparing_update:
      return "preparing the update";
    case Phase::exchanging:
      return "exchanging gradients";
    case Phase::updating:
      return "updating weights";
    case Phase::gathering:
      return "gathering weights";
    case Phase::packing:
      return "packing weights";
    case Phase::reporting:
      return "reporting the step";
    case Phase::validating:
      return "validating";
    case Phase::recording:
      return "recording the epoch";
    case Phase::writing_checkpoint:
      return "writing a checkpoint";
    case Phase::writing_results:
      return "writing the results";
  }
  return "unknown";
}

std::vector<int> culprits(std::span<const RankSign> ranks) {
  for (const Sign sign : {Sign::silent, Sign::left})
    if (auto found = those(ranks, [&](const RankSign& rank) { return rank.sign == sign; }); !found.empty())
      return found;
  if (auto idle = those(ranks, [](const RankSign& rank) { return !rank.activity.waiting; }); !idle.empty())
    return idle;
  const Place front = meeting_at(furthest(ranks));
  return those(ranks, [&](const RankSign& rank) { return meeting_at(place_of(rank)) < front; });
}

std::string standstill_message(std::span<const RankSign> ranks, std::int64_t seconds) {
  check(!ranks.empty(), "somebody noticed a standstill");
  const std::vector<int> guilty = culprits(ranks);
  std::string text = fmt::format("{}: {}.", text_of(furthest(ranks)), reason(ranks, guilty, seconds));

  std::map<std::string, std::vector<int>> at;  // what to which ranks
  std::vector<std::string> order;
  for (const RankSign& rank : ranks) {
    if (rank.sign == Sign::silent) continue;
    auto& others = at[doing(rank)];
    if (others.empty()) order.push_back(doing(rank));
    others.push_back(rank.rank);
  }
  for (const std::string& what : order) text += fmt::format("\n  {}: {}", list_of(at[what]), what);
  return text +
         "\nThe job ends here (training.watchdog_seconds); lockstep resume goes on from its last checkpoint.";
}

std::int64_t turn_to_speak(int rank, std::span<const std::string> hosts) {
  std::set<std::string_view> heads;  // hosts whose lowest rank but 0 lies below this rank
  std::int64_t before = 0;           // ranks below this one that are not the first of their host
  for (int other = 1; other < rank; ++other)
    if (!heads.insert(hosts[static_cast<std::size_t>(other)]).second) ++before;
  if (!heads.contains(hosts[static_cast<std::size_t>(rank)])) return static_cast<std::int64_t>(heads.size());
  const std::set<std::string_view> all(hosts.begin() + 1, hosts.end());
  return static_cast<std::int64_t>(all.size()) + before;
}

}  // namespace lockstep::comm
