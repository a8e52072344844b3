#include "base/portable_cos.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "ulp.h"

namespace lockstep {
namespace {

static_assert(portable_cos_pi(0) == 1);
static_assert(portable_cos_pi(0.5) == 0);
static_assert(portable_cos_pi(1) == -1);

TEST(PortableCosPi, AgreesWithLibm) {
  testing::sweep(0.0, 1.0, 300'001, [](double x) {
    const long double exact = std::cos(std::numbers::pi_v<long double> * x);
    ASSERT_LE(std::abs(portable_cos_pi(x) - exact), 2e-16L) << x;
  });
}

TEST(PortableCosPi, IsOddAroundOneHalf) {
  for (int i = 0; i <= 512; ++i) {
    const double x = i / 1024.0;
    ASSERT_EQ(portable_cos_pi(x), -portable_cos_pi(1 - x)) << x;
  }
}

TEST(PortableCosPi, NeverRises) {
  double before = 1;
  testing::sweep(0.0, 1.0, 10'001, [&](double x) {
    ASSERT_LE(portable_cos_pi(x), before) << x;
    before = portable_cos_pi(x);
  });
}

}  // namespace
}  // namespace lockstep
