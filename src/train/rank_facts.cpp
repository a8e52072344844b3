#include "train/rank_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace lockstep::train {
namespace {

using Ranks = std::vector<std::size_t>;  // ascending

/// "rank 2 (node1)", "ranks 0-2, 5 (node1, node2)".
std::string place(const Ranks& ranks, std::span<const std::string> hosts) {
  std::vector<std::string> runs;
  std::set<std::string> names;
  for (auto run = ranks.begin(); run != ranks.end();) {
    auto last = run;
    while (std::next(last) != ranks.end() && *std::next(last) == *last + 1) ++last;
    runs.push_back(run == last ? fmt::format("{}", *run) : fmt::format("{}-{}", *run, *last));
    run = std::next(last);
  }
  for (const std::size_t rank : ranks) names.insert(hosts[rank]);
  return fmt::format("{} {} ({})", ranks.size() == 1 ? "rank" : "ranks", fmt::join(runs, ", "),
                     fmt::join(names, ", "));
}

std::vector<std::string> names_in_order(std::span<const Facts> by_rank) {
  std::vector<std::string> names;
  for (const Facts& facts : by_rank)
    for (const Fact& fact : facts)
      if (std::ranges::find(names, fact.name) == names.end()) names.push_back(fact.name);
  return names;
}

}  // namespace

std::vector<Facts> gather_facts(comm::World& world, const Facts& own) {
  auto json = nlohmann::json::array();
  for (const auto& [name, value] : own) json.push_back({name, value});
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::vector<Facts> all;
  for (const std::string& of_rank : world.all_gather(text)) {
    Facts& facts = all.emplace_back();
    for (const auto& pair : nlohmann::json::parse(of_rank)) facts.push_back({pair.at(0), pair.at(1)});
  }
  return all;
}

std::optional<std::string> difference(std::span<const Facts> by_rank, std::span<const std::string> hosts) {
  std::vector<std::string> lines;
  for (const std::string& name : names_in_order(by_rank)) {
    std::map<std::string, Ranks> by_value;
    for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
      const auto fact = std::ranges::find(by_rank[rank], name, &Fact::name);
      if (fact != by_rank[rank].end()) by_value[fact->value].push_back(rank);
    }
    if (by_value.size() == 1) continue;
    std::vector<std::pair<Ranks, std::string>> groups;
    for (const auto& [value, ranks] : by_value) groups.emplace_back(ranks, value);
    // Of equally many the later ranks, so that rank 0 is what the others are compared with.
    std::ranges::sort(groups, [](const auto& a, const auto& b) {
      return a.first.size() != b.first.size() ? a.first.size() < b.first.size()
                                              : a.first.front() > b.first.front();
    });
    std::vector<std::string> parts;
    for (const auto& [ranks, value] : groups)
      parts.push_back(fmt::format("{} on {}", value, place(ranks, hosts)));
    lines.push_back(fmt::format("{}: {}", name, fmt::join(parts, ", ")));
  }
  if (lines.empty()) return std::nullopt;
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace lockstep::train
