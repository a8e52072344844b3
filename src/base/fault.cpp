#include "base/fault.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csignal>
#include <deque>
#include <limits>
#include <string_view>

#include "base/error.h"
#include "base/philox.h"

namespace lockstep::fault {
namespace {

struct ArmedFault {
  Fault fault;
  std::array<std::uint32_t, 4> random;
  std::atomic<bool> happened = false;

  /// Whether it is time for it, and it has not happened; then it has.
  bool take(std::int64_t step) { return fault.step == step && !happened.exchange(true); }
};

std::int64_t own_rank = 0;
std::deque<ArmedFault> own_faults;  // a deque, as atomics do not move
std::atomic<std::int64_t> current_step = 0;

/// The setting or, where it leaves the choice, the random number; modulo `size`.
std::size_t choose(std::int64_t setting, std::uint64_t random, std::size_t size) {
  return static_cast<std::size_t>((setting == drawn ? random : static_cast<std::uint64_t>(setting)) % size);
}

std::size_t element_of(const ArmedFault& armed, std::int64_t setting, std::size_t size) {
  return choose(setting, std::uint64_t{armed.random[0]} << 32U | armed.random[1], size);
}

int bit_of(const ArmedFault& armed, const Flip& settings) {
  return static_cast<int>(choose(settings.bit, armed.random[2], std::numeric_limits<std::uint32_t>::digits));
}

bool hits_shard(const ArmedFault& armed, std::int64_t setting, Range shards, std::int64_t shard) {
  const auto count = static_cast<std::size_t>(shards.size());
  return shard == shards.begin + static_cast<std::int64_t>(choose(setting, armed.random[3], count));
}

bool damages_gradient(const Fault& fault) {
  const auto* const flip = std::get_if<Flip>(&fault.spec);
  return std::holds_alternative<Nan>(fault.spec) || (flip != nullptr && flip->target == Target::gradient);
}

std::string_view name_of(Target target) {
  switch (target) {
    case Target::owned_weight:
      return "weights of its own";
    case Target::copied_weight:
      return "copies of other ranks' weights";
    case Target::optimizer_state:
      return "optimizer state";
    case Target::gradient:
      return "gradients";
  }
  return "";
}

}  // namespace

std::atomic<bool> detail::armed = false;
std::atomic<bool> detail::damages_gradients = false;

void arm(std::span<const Fault> faults, std::int64_t rank, std::uint64_t seed) {
  own_rank = rank;
  own_faults.clear();
  current_step = 0;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    if (faults[i].rank != rank) continue;
    const RandomKey key(seed, Purpose::fault, static_cast<std::uint32_t>(i));
    own_faults.emplace_back(faults[i], key.words(0, static_cast<std::uint64_t>(faults[i].step), 0));
  }
  detail::armed = !own_faults.empty();
  detail::damages_gradients = std::ranges::any_of(faults, damages_gradient);
}

void detail::begin_step(std::int64_t step) {
  current_step = step;
  for (ArmedFault& armed : own_faults)
    if (std::holds_alternative<Kill>(armed.fault.spec) && armed.take(step)) std::raise(SIGKILL);
}

void detail::stall(Place place, std::optional<std::int64_t> step) {
  for (ArmedFault& armed : own_faults) {
    const auto* settings = std::get_if<Stall>(&armed.fault.spec);
    if (settings == nullptr || settings->place != place || !armed.take(step.value_or(current_step))) continue;
    for (;;) ::pause();
  }
}

void detail::damage_gradient(Range shards, std::int64_t shard, std::span<float> gradient) {
  for (ArmedFault& armed : own_faults) {
    if (const auto* poison = std::get_if<Nan>(&armed.fault.spec)) {
      if (hits_shard(armed, poison->shard, shards, shard) && armed.take(current_step))
        gradient[element_of(armed, poison->element, gradient.size())] =
            std::numeric_limits<float>::quiet_NaN();
    } else if (const auto* settings = std::get_if<Flip>(&armed.fault.spec)) {
      if (settings->target == Target::gradient && hits_shard(armed, settings->shard, shards, shard) &&
          armed.take(current_step))
        flip(gradient[element_of(armed, settings->element, gradient.size())], bit_of(armed, *settings));
    }
  }
}

bool detail::take_io_error() {
  for (ArmedFault& armed : own_faults)
    if (std::holds_alternative<IoError>(armed.fault.spec) && armed.fault.step <= current_step &&
        !armed.happened.exchange(true))
      return true;
  return false;
}

bool detail::take_miscompute() {
  for (ArmedFault& armed : own_faults)
    if (std::holds_alternative<Miscompute>(armed.fault.spec) && !armed.happened.exchange(true)) return true;
  return false;
}

std::optional<Bit> take_flip(Target target, std::size_t size) {
  if (!any()) return std::nullopt;
  for (ArmedFault& armed : own_faults) {
    const auto* settings = std::get_if<Flip>(&armed.fault.spec);
    if (settings == nullptr || settings->target != target || !armed.take(current_step)) continue;
    if (size == 0)
      fail(ExitCode::bad_config, "a fault is to flip a bit on rank {} in step {}, which has no {}", own_rank,
           armed.fault.step, name_of(target));
    return Bit{element_of(armed, settings->element, size), bit_of(armed, *settings)};
  }
  return std::nullopt;
}

void flip(float& value, int bit) {
  value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (std::uint32_t{1} << bit));
}

}  // namespace lockstep::fault
