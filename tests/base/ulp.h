#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace lockstep::testing {

/// Distance of `value` from `exact` in units of the last place that T has at `exact`.
template <class T>
double ulps(T value, long double exact) {
  if (std::isnan(value)) return std::numeric_limits<double>::infinity();
  const int exponent = exact == 0 ? std::numeric_limits<T>::min_exponent : std::ilogb(exact) + 1;
  const int last_place =
      std::max(exponent, std::numeric_limits<T>::min_exponent) - std::numeric_limits<T>::digits;
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact) /
                             std::ldexp(1.0L, last_place));
}

/// Calls f on `count` values from `low` to `high`, both included.
template <class T, class F>
void sweep(T low, T high, int count, F&& f) {
  for (int i = 0; i < count; ++i) {
    const T share = static_cast<T>(i) / static_cast<T>(count - 1);
    f(low * (1 - share) + high * share);
  }
}

}  // namespace lockstep::testing
