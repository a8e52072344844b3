#pragma once

namespace lockstep {

/// cos(πx) for 0 <= x <= 1, within 2e-16, exact at 0, ½ and 1, with the same bits on every processor (see
/// portable_math.h). Subtracting the nearest of 0, ½ and 1 from x is exact and leaves at most ¼; there the
/// Taylor series of cosine and sine to the 17th power are exact to the last bit but for rounding.
constexpr double portable_cos_pi(double x) {
  constexpr double pi = 0x1.921fb54442d18p+1;
  // 1 − z/(n(n−1)) · (1 − z/((n−2)(n−3)) · …), from n = highest down to the power above the series' first.
  constexpr auto alternating_series = [](double z, int highest) {
    double sum = 1;
    for (int n = highest; n > 1; n -= 2) sum = 1 - z / (n * (n - 1)) * sum;
    return sum;
  };
  constexpr auto cosine = [=](double y) { return alternating_series(y * y, 16); };
  constexpr auto sine = [=](double y) { return y * alternating_series(y * y, 17); };

  if (x <= 0.25) return cosine(pi * x);
  if (x < 0.75) return -sine(pi * (x - 0.5));
  return -cosine(pi * (1 - x));
}

}  // namespace lockstep
