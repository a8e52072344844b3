#include "nn/normal_quantile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace lockstep::nn {
namespace {

/// Probability below x, in long double.
long double probability_below(long double x) {
  return std::erfc(-x / std::numbers::sqrt2_v<long double>) / 2;
}

long double density(long double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<long double>);
}

/// How far `x` is from the quantile of p, to first order.
long double error_of(double x, double p) {
  return (probability_below(x) - p) / density(x);
}

TEST(NormalQuantile, InvertsTheDistribution) {
  // All three of its formulas: the centre, tails down to 1e-11, and beyond.
  for (int i = 1; i < 100'000; ++i) {
    const double p = i / 100'000.0;
    const double x = normal_quantile(p);
    ASSERT_LE(std::abs(error_of(x, p)), 3e-15L * std::max(1.0, std::abs(x))) << p;
  }
  for (double p = 0.3; p > 1e-300; p *= 0.71) {
    const double x = normal_quantile(p);
    ASSERT_LE(std::abs(error_of(x, p)), 3e-15L * std::max(1.0, std::abs(x))) << p;
  }
}

TEST(NormalQuantile, GivesTheNumbersOfTheTables) {
  EXPECT_EQ(normal_quantile(0.5), 0.0);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_NEAR(normal_quantile(0.8413447460685429), 1.0, 1e-14);
  // The check value in the paper: p = 1e-20.
  EXPECT_NEAR(normal_quantile(1e-20), -9.262340089798408, 1e-13);
}

TEST(NormalQuantile, IsOddAroundOneHalf) {
  for (int i = 1; i < 1024; ++i) {
    const double p = i / 2048.0;
    ASSERT_EQ(normal_quantile(p), -normal_quantile(1 - p)) << p;
  }
}

TEST(NormalQuantile, OfCertaintyIsRefused) {
  EXPECT_THROW(normal_quantile(0), Error);
  EXPECT_THROW(normal_quantile(1), Error);
}

}  // namespace
}  // namespace lockstep::nn
