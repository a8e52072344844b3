#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/world.h"
#include "device/backend.h"

/// Proof before the first step that ranks compute alike: each plan runs once on data that are the same
/// everywhere, and the hashes of the results are compared.
namespace lockstep::train {

/// One plan, and what it made of the generated data.
struct PlanHash {
  device::Mode mode = device::Mode::training;
  std::int64_t samples = 0;
  std::uint64_t hash = 0;  ///< of gradients, loss and counts
};

/// Weights for that, a slab: uniform numbers that depend on the layout of the parameters alone, of a size
/// that keeps activations near 1. Gaps are zeroed.
void generate_weights(const Parameters& parameters, std::span<float> weights);

/// Runs a plan for so many samples once, on generated images and labels. It must have been given the weights
/// above. `gradient` is a slab to work in, which a plan for evaluation does not touch.
PlanHash hash_plan(const device::Network& network, device::Mode mode, std::int64_t samples,
                   device::ShardRunner& runner, std::span<float> gradient);

/// The same of a plan of the backend for each of these numbers of samples, made for it. `weights` are those
/// above.
std::vector<PlanHash> hash_plans(device::Backend& backend, const device::Network& network, device::Mode mode,
                                 std::span<const std::int64_t> samples, std::span<const float> weights,
                                 std::span<float> gradient);

/// Throws AgreedError(internal) that names the plan, ranks and hosts when two ranks got different results
/// from plans for the same number of samples. Returns a hash of all plans of all ranks: another value for the
/// same experiment means a machine that computes differently. Collective.
std::uint64_t check_same_plans(comm::World& world, std::span<const PlanHash> own);

}  // namespace lockstep::train
