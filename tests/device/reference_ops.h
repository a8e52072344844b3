#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device/backend.h"

/// Every operation of a network as plain loops in double precision, written from the formulas in
/// device/network.h and sharing no code with any backend: the oracle of the tests.
namespace lockstep::reference {

/// Samples × elements of one, in C, H, W order.
using Values = std::vector<double>;

/// What an op needs besides its input.
struct Context {
  std::int64_t samples = 0;
  Values weight, bias;     ///< empty where the op has none
  bool training = false;   ///< dropout drops
  std::uint64_t seed = 0;  ///< for dropout, as are the next two
  std::int64_t epoch = 0;
  std::vector<std::int64_t> rows;
};

/// Sums over the samples for weight and bias.
struct Gradients {
  Values x, weight, bias;
};

Values forward(const device::Op& op, const Context& context, const Values& x);
/// `y` is what forward gave.
Gradients backward(const device::Op& op, const Context& context, const Values& x, const Values& y,
                   const Values& dy);

/// Loss and gradient with respect to the outputs, both sums over the samples.
struct LossResult {
  double loss = 0;
  std::int64_t correct = 0;
  Values gradient;
};
LossResult loss_of(config::Loss loss, const Values& outputs, std::span<const std::int32_t> labels);

/// A whole network: forward, loss, backward.
struct NetworkResult {
  double loss = 0;
  std::int64_t correct = 0;
  Values outputs;
  Values gradient;  ///< a slab, zero in the gaps
};
NetworkResult run(const device::Network& network, std::span<const double> slab,
                  const device::ShardInput& input, std::int64_t samples, bool training);

}  // namespace lockstep::reference
