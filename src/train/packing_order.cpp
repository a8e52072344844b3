#include "train/packing_order.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace lockstep::train {

std::array<PiecesByPlace, 2> packing_order(const device::Plan& plan, const comm::Collective& collective,
                                           Ownership ownership) {
  const auto size = static_cast<std::size_t>(collective.team().size);
  PiecesByPlace first(size);
  PiecesByPlace second(size);
  auto deal = [size, next = std::size_t{0}](std::int64_t piece, PiecesByPlace& to) mutable {
    to[next++ % size].push_back(piece);
  };
  const auto owner_of = [&](Range source) -> std::optional<std::size_t> {
    check(!source.empty(), "a piece is packed from something");
    for (std::size_t place = 0; place < size; ++place) {
      const Range slice = collective.slice_at(static_cast<int>(place));
      if (slice.begin <= source.begin && source.end <= slice.end) return place;
    }
    return std::nullopt;
  };
  for (std::int64_t piece = 0; piece < plan.packing().pieces; ++piece) {
    if (size == 1 || ownership == Ownership::everything)
      deal(piece, first);
    else if (const auto owner = owner_of(plan.packing_source(piece)))
      first[*owner].push_back(piece);
    else
      deal(piece, second);
  }
  return {std::move(first), std::move(second)};
}

bool is_empty(const PiecesByPlace& pieces) {
  return std::ranges::all_of(pieces, [](const auto& of_place) { return of_place.empty(); });
}

}  // namespace lockstep::train
