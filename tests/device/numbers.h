#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/reference_ops.h"

namespace lockstep::testing {

/// Numbers in [-1, 1), the same for the same seed.
std::vector<float> random_floats(std::size_t count, std::uint32_t seed);
reference::Values to_double(const std::vector<float>& values);
reference::Values absolute(reference::Values values);

/// |actual - expected| <= factor · 2^-24 · magnitude, element by element. For a sum of n products computed in
/// any order, factor n + 2 and magnitude Σ |terms| is the classical bound (Higham, "Accuracy and Stability of
/// Numerical Algorithms", 3.1).
void expect_within(const std::vector<float>& actual, const reference::Values& expected,
                   const reference::Values& magnitude, double factor, const std::string& what);

}  // namespace lockstep::testing
