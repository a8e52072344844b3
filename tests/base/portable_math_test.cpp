#include "base/portable_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ulp.h"

namespace lockstep {
namespace {

using testing::sweep;
using testing::ulps;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double infinity_double = std::numeric_limits<double>::infinity();
constexpr float nan_float = std::numeric_limits<float>::quiet_NaN();
constexpr double nan_double = std::numeric_limits<double>::quiet_NaN();

TEST(PortableExpDouble, IsWithinTwoUlp) {
  const auto compare = [](double x) {
    ASSERT_LE(ulps(portable_exp(x), std::exp(static_cast<long double>(x))), 2) << x;
  };
  sweep(-708.0, 709.78, 200'001, compare);
  sweep(-1.0, 1.0, 200'001, compare);
  sweep(-1e-9, 1e-9, 1'001, compare);
}

TEST(PortableExpDouble, GoesGraduallyToZero) {
  sweep(-745.0, -708.0, 10'001,
        [](double x) { ASSERT_LE(ulps(portable_exp(x), std::exp(static_cast<long double>(x))), 2) << x; });
}

TEST(PortableExpDouble, SpecialValues) {
  EXPECT_EQ(portable_exp(0.0), 1.0);
  EXPECT_EQ(portable_exp(-infinity_double), 0.0);
  EXPECT_EQ(portable_exp(infinity_double), infinity_double);
  EXPECT_EQ(portable_exp(710.0), infinity_double);
  EXPECT_EQ(portable_exp(-800.0), 0.0);
  EXPECT_TRUE(std::isnan(portable_exp(nan_double)));
}

TEST(PortableLog, IsWithinTwoUlp) {
  const auto compare = [](double x) {
    ASSERT_LE(ulps(portable_log(x), std::log(static_cast<long double>(x))), 2) << x;
  };
  sweep(0.5, 2.0, 300'001, compare);
  sweep(1.0 - 1e-6, 1.0 + 1e-6, 2'001, compare);
  sweep(-1074.0, 1023.9, 100'001, [&](double exponent) { compare(std::exp2(exponent)); });
}

TEST(PortableLog, SpecialValues) {
  EXPECT_EQ(portable_log(1.0), 0.0);
  EXPECT_EQ(portable_log(0.0), -infinity_double);
  EXPECT_EQ(portable_log(infinity_double), infinity_double);
  EXPECT_TRUE(std::isnan(portable_log(-1.0)));
  EXPECT_TRUE(std::isnan(portable_log(nan_double)));
  EXPECT_LE(
      ulps(portable_log(std::numeric_limits<double>::denorm_min()), std::log(4.94065645841246544e-324L)), 2);
}

TEST(PortableExpFloat, IsWithinTwoUlp) {
  const auto compare = [](float x) {
    ASSERT_LE(ulps(portable_exp(x), std::exp(static_cast<long double>(x))), 2) << x;
  };
  sweep(-87.3F, 88.72F, 300'001, compare);
  sweep(-1.0F, 1.0F, 100'001, compare);
}

TEST(PortableExpFloat, SpecialValues) {
  EXPECT_EQ(portable_exp(0.0F), 1.0F);
  EXPECT_EQ(portable_exp(-infinity), 0.0F);
  EXPECT_EQ(portable_exp(infinity), infinity);
  EXPECT_EQ(portable_exp(89.0F), infinity);
  EXPECT_EQ(portable_exp(-200.0F), 0.0F);
  EXPECT_TRUE(std::isnan(portable_exp(nan_float)));
}

TEST(PortableSigmoid, IsWithinFourUlp) {
  sweep(-80.0F, 40.0F, 300'001, [](float x) {
    ASSERT_LE(ulps(portable_sigmoid(x), 1 / (1 + std::exp(-static_cast<long double>(x)))), 4) << x;
  });
}

TEST(PortableSigmoid, SpecialValues) {
  EXPECT_EQ(portable_sigmoid(0.0F), 0.5F);
  EXPECT_EQ(portable_sigmoid(infinity), 1.0F);
  EXPECT_EQ(portable_sigmoid(-infinity), 0.0F);
  EXPECT_TRUE(std::isnan(portable_sigmoid(nan_float)));
}

TEST(PortableTanh, IsWithinFourUlp) {
  const auto compare = [](float x) {
    ASSERT_LE(ulps(portable_tanh(x), std::tanh(static_cast<long double>(x))), 4) << x;
  };
  sweep(-12.0F, 12.0F, 300'001, compare);
  sweep(-1.01F, 1.01F, 300'001, compare);
  sweep(-1e-6F, 1e-6F, 1'001, compare);
}

TEST(PortableTanh, SpecialValues) {
  EXPECT_EQ(portable_tanh(0.0F), 0.0F);
  EXPECT_EQ(portable_tanh(infinity), 1.0F);
  EXPECT_EQ(portable_tanh(-infinity), -1.0F);
  EXPECT_EQ(portable_tanh(50.0F), 1.0F);
  EXPECT_TRUE(std::isnan(portable_tanh(nan_float)));
}

}  // namespace
}  // namespace lockstep
