#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "comm/collective.h"
#include "device/backend.h"
#include "train/memory_check.h"

namespace lockstep::train {

/// Pieces of packing, by the place in the team of the rank that begins with them.
using PiecesByPlace = std::vector<std::vector<std::int64_t>>;
[[nodiscard]] bool is_empty(const PiecesByPlace& pieces);

/// Which pieces the ranks of a team pack in a first round, and which in a second one. A rank that comes to
/// the first has handed on its slice of the weights (Collective::hand_on), so it brings what is packed from
/// that alone; who comes to the second has seen that all have come to the first, so all weights are there.
/// Where each rank updates everything there is nothing to wait for. All of a team get the same.
std::array<PiecesByPlace, 2> packing_order(const device::Plan& plan, const comm::Collective& collective,
                                           Ownership ownership);

}  // namespace lockstep::train
