#pragma once

#include <cstdint>

namespace lockstep::optim {

/// baseⁿ for n >= 0 by repeated squaring: multiplications in a fixed order, so the bits do not depend on
/// libm.
constexpr double integer_power(double base, std::int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace lockstep::optim
