#pragma once

#include "device/backend.h"

/// What must hold of any network on any backend, each a GoogleTest expectation or more.
namespace lockstep::testing {

void agrees_with_the_reference(device::Backend& backend, const device::Network& network);
void writes_zeros_between_the_parameters(device::Backend& backend, const device::Network& network);
void evaluates_without_dropout(device::Backend& backend, const device::Network& network);
void a_used_runner_gives_the_bits_of_a_fresh_one(device::Backend& backend, const device::Network& network);
void the_gradient_is_the_slope_of_the_loss(device::Backend& backend, const device::Network& network);

}  // namespace lockstep::testing
