#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "base/partition.h"

/// Faults on purpose, to see what becomes of them: an experiment lists them, arm() is told, and the places
/// where they happen ask. Each happens once. While none is armed, asking costs one branch.
///
/// Threads: arm() before any other thread asks, begin_step() on the main thread, the others on any.
namespace lockstep::fault {

/// What a flipped bit hits. A rank that owns everything has no copied weights.
enum class Target : std::uint8_t { owned_weight, copied_weight, optimizer_state, gradient };
/// Where a rank stops for ever: the main thread, before it takes the step's batch, or with a device the
/// loader's thread, while it gathers that; the worker that has the shard; the main
/// thread, before it joins the exchange.
enum class Place : std::uint8_t { loader, compute, exchange };

/// A setting that leaves the choice to the generator.
inline constexpr std::int64_t drawn = -1;

// Elements count among the rank's numbers of that kind, shards among the rank's; both modulo how many there
// are.
struct Flip {
  Target target = Target::owned_weight;
  std::int64_t element = drawn;
  std::int64_t bit = drawn;    ///< 31 is the sign
  std::int64_t shard = drawn;  ///< whose gradient
};
struct Kill {};  ///< SIGKILL of the process
struct Stall {
  Place place = Place::compute;
};
struct Nan {  ///< in a gradient
  std::int64_t element = drawn;
  std::int64_t shard = drawn;
};
struct IoError {};     ///< the rank's next write of a file fails as on a full disk
struct Miscompute {};  ///< at set-up, whatever the step: one plan of the rank computes a wrong bit
using Spec = std::variant<Flip, Kill, Stall, Nan, IoError, Miscompute>;

struct Fault {
  std::int64_t rank = 0;
  std::int64_t step = 1;  ///< from 1, over the whole training
  Spec spec;
};

namespace detail {
extern std::atomic<bool> armed;
extern std::atomic<bool> damages_gradients;
void begin_step(std::int64_t step);
void stall(Place place, std::optional<std::int64_t> step);
void damage_gradient(Range shards, std::int64_t shard, std::span<float> gradient);
bool take_io_error();
bool take_miscompute();
}  // namespace detail

inline bool any() {
  return detail::armed.load(std::memory_order_relaxed);
}

/// Whether any rank has some that damage_gradient() brings about, so that shards must have a gradient of
/// their own.
inline bool damages_gradients() {
  return detail::damages_gradients.load(std::memory_order_relaxed);
}

/// From now on this process is `rank` and has its faults of the list, which is the same on all ranks, instead
/// of what was armed before. `seed` decides what the settings leave open.
void arm(std::span<const Fault> faults, std::int64_t rank, std::uint64_t seed);

/// This step begins, and with it what happens by itself.
inline void begin_step(std::int64_t step) {
  if (any()) detail::begin_step(step);
}
/// Does not return if the rank is to stop here: in the step that began last, or in the one given.
inline void stall(Place place, std::optional<std::int64_t> step = std::nullopt) {
  if (any()) detail::stall(place, step);
}
/// Between the computation of a shard's gradient and its first use. `shards` are all those of the rank.
inline void damage_gradient(Range shards, std::int64_t shard, std::span<float> gradient) {
  if (any()) detail::damage_gradient(shards, shard, gradient);
}
/// Whether the write at hand is the one to fail.
inline bool take_io_error() {
  return any() && detail::take_io_error();
}
/// Whether one plan of this rank is to compute a wrong bit: true once.
inline bool take_miscompute() {
  return any() && detail::take_miscompute();
}

/// One bit of one number.
struct Bit {
  std::size_t element;
  int bit;
};
/// The next flip that is due in this step, of one of the rank's `size` numbers of this kind; none when there
/// are no more. Error(bad_config) when one is due and there are no such numbers.
std::optional<Bit> take_flip(Target target, std::size_t size);
void flip(float& value, int bit);

}  // namespace lockstep::fault
