#pragma once

#include <cstdint>
#include <span>

#include "config/experiment.h"
#include "device/network.h"

namespace lockstep::nn {

/// Turns the model of an experiment into a network for images of this shape: infers every shape, declares the
/// parameters (last layer first, as backward finishes them), resolves paddings. A shape that does not fit
/// throws Error(bad_config) naming file:line, the layer, its index and both shapes. `classes` is what the
/// labels need, one more than the largest: the last layer must have at least so many outputs. The smallest
/// label only matters to that message.
device::Network build_network(const config::Experiment& experiment, const Shape& image, std::int64_t classes,
                              std::int64_t smallest_label = 0);

/// Writes the initial weights into a slab: a pure function of the seed, each number by its layer's place in
/// the model and its index in the tensor. Gaps are zeroed.
void initialize_weights(const config::Experiment& experiment, const device::Network& network,
                        std::span<float> weights);

}  // namespace lockstep::nn
