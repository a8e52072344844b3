#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/world.h"

namespace lockstep::train {

/// Something that must be the same on all ranks, as one of them has it.
struct Fact {
  std::string name, value;
};
using Facts = std::vector<Fact>;

/// Those of every rank, by rank. Collective.
std::vector<Facts> gather_facts(comm::World& world, const Facts& own);

/// A line for each fact in which ranks differ, with the ranks and hosts that have each value, fewest ranks
/// first; nothing if there is none. A rank that does not have a fact at all has no say in it.
std::optional<std::string> difference(std::span<const Facts> by_rank, std::span<const std::string> hosts);

}  // namespace lockstep::train
