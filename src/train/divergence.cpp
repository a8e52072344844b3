#include "train/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace lockstep::train {
namespace {

constexpr std::int64_t nowhere = std::numeric_limits<std::int64_t>::max();

constexpr std::array described{"the gradient of", "a new weight in", "the optimizer state of"};  // by Where
constexpr auto kinds = static_cast<std::int64_t>(described.size());

/// Orders findings by place, and at one place as Where does.
std::int64_t encode(const std::optional<NotFinite>& found) {
  return found ? kinds * found->offset + static_cast<std::int64_t>(found->where) : nowhere;
}

std::int64_t lowest_of_all_ranks(comm::World& world, std::int64_t own) {
  std::int64_t lowest = own;
  for (const auto& bytes : world.all_gather_bytes(std::as_bytes(std::span(&own, 1)))) {
    std::int64_t theirs = nowhere;
    std::memcpy(&theirs, bytes.data(), sizeof theirs);
    lowest = std::min(lowest, theirs);
  }
  return lowest;
}

}  // namespace

void throw_divergence(comm::World& world, const Parameters& parameters, const Divergence& where,
                      const std::optional<NotFinite>& own) {
  const std::int64_t found = lowest_of_all_ranks(world, encode(own));
  const std::string what = found == nowhere
                               ? "the loss"
                               : fmt::format("{} {}", described.at(static_cast<std::size_t>(found % kinds)),
                                             parameters.at_offset(found / kinds).name);
  const std::string loss = where.last_good_loss ? fmt::format("{:.4g}", *where.last_good_loss) : "none";
  world.agree([&] {
    fail(ExitCode::bad_data,
         "epoch {}, step {} of {}: {} is not finite; last good loss: {}. Lower the learning rate, or look "
         "for values in the data that are not numbers.",
         where.epoch, where.step, where.steps, what, loss);
  });
  std::abort();  // agree() throws on every rank
}

}  // namespace lockstep::train
