#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/philox.h"
#include "device/block_harness.h"
#include "device/cpu/elementwise.h"
#include "device/network_builder.h"

namespace lockstep::testing {
namespace {

using device::ActivationOp;
using device::DropoutOp;
using Kind = ActivationOp::Kind;

TEST(Activation, agrees_with_the_formulas_in_every_layout) {
  for (const Kind kind : {Kind::relu, Kind::tanh, Kind::sigmoid}) {
    for (const bool blocked : {false, true}) {
      SCOPED_TRACE(static_cast<int>(kind));
      const auto network = NetworkBuilder({5, 3, 7}).activation(kind).build();
      auto x = random_floats(3 * 105, 1);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % 3 == 0 ? 20 : 2;
      const auto dy = random_floats(x.size(), 2);
      const auto actual = run_block(network, 3, x, dy, {}, {.offer_blocked = blocked});
      const reference::Context context{.samples = 3, .weight = {}, .bias = {}, .rows = {}};
      const auto& op = network.nodes.front().op;
      const auto y = reference::forward(op, context, to_double(x));
      // portable_math.h: 4 ulp, an ulp is at most 2^-23 of the value; sigmoid adds a sum and a division.
      expect_within(actual.y, y, absolute(y), kind == Kind::relu ? 0 : 10, "y");
      // 1 - y² loses what y has in common with 1, so the bound is absolute: 1 is the greatest slope.
      const auto dx = reference::backward(op, context, to_double(x), y, to_double(dy)).x;
      expect_within(actual.dx, dx, absolute(to_double(dy)), kind == Kind::relu ? 0 : 24, "dx");
    }
  }
}

TEST(Activation, own_relu_keeps_nan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {-1, 0, 2, nan, -INFINITY, INFINITY};
  std::vector<float> y(x.size());
  device::cpu::relu_forward(x.data(), y.data(), std::ssize(x));
  EXPECT_EQ(std::vector<float>(y.begin(), y.begin() + 3), (std::vector<float>{0, 0, 2}));
  EXPECT_TRUE(std::isnan(y[3]));
  EXPECT_EQ(y[4], 0);
  EXPECT_EQ(y[5], INFINITY);
}

class DropoutRate : public ::testing::TestWithParam<double> {};

TEST_P(DropoutRate, drops_exactly_what_the_formula_says) {
  constexpr std::int64_t samples = 3;
  const std::int64_t count = 5 * 3 * 7;  // not a multiple of four
  auto network = NetworkBuilder({5, 3, 7}).dropout(GetParam()).build();
  std::get<DropoutOp>(network.nodes.front().op).stream = 6;
  const auto x = random_floats(samples * count, 1);
  const auto dy = random_floats(samples * count, 2);
  const std::vector<std::int64_t> rows = {41, 5'000'000'000, 0};
  const device::cpu::Pass pass{.rows = rows.data(), .epoch = 9};
  const auto actual = run_block(network, samples, x, dy, {}, {.offer_blocked = true}, pass);
  const RandomKey key(network.seed, Purpose::dropout, 6);
  const auto divisor = static_cast<float>(1 - GetParam());
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t e = 0; e < static_cast<std::size_t>(count); ++e) {
      const auto word =
          key.words(9, static_cast<std::uint64_t>(rows[n]), static_cast<std::uint32_t>(e / 4))[e % 4];
      const bool dropped = unit_float(word) < GetParam();
      const std::size_t i = n * static_cast<std::size_t>(count) + e;
      ASSERT_EQ(actual.y[i], dropped ? 0.0F : x[i] / divisor) << n << " " << e;
      ASSERT_EQ(actual.dx[i], dropped ? 0.0F : dy[i] / divisor) << n << " " << e;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rates, DropoutRate, ::testing::Values(0.0, 0.1, 0.5, 0.75, 0.999),
                         [](const auto& rate) {
                           return "per_mille_" + std::to_string(std::lround(1000 * rate.param));
                         });

TEST(Dropout, draws_the_line_where_the_formula_does) {
  auto network = NetworkBuilder({1}).dropout(0.5).build();
  auto& op = std::get<DropoutOp>(network.nodes.front().op);
  const std::vector<std::int64_t> rows = {12};
  const device::cpu::Pass pass{.rows = rows.data(), .epoch = 2};
  const double drawn = unit_float(RandomKey(network.seed, Purpose::dropout, op.stream).words(2, 12, 0)[0]);
  op.rate = drawn;  // not below it: kept
  EXPECT_NE(run_block(network, 1, {3}, {1}, {}, {}, pass).y[0], 0);
  op.rate = drawn + 0x1p-25;
  EXPECT_EQ(run_block(network, 1, {3}, {1}, {}, {}, pass).y[0], 0);
}

TEST(Dropout, keeps_the_mean) {
  constexpr std::int64_t count = 40000;
  const auto network = NetworkBuilder({count}).dropout(0.3).build();
  const std::vector<std::int64_t> rows = {1, 2, 3, 4};
  const device::cpu::Pass pass{.rows = rows.data(), .epoch = 1};
  const std::vector<float> ones(4 * count, 1.0F);
  const auto actual = run_block(network, 4, ones, ones, {}, {}, pass);
  double sum = 0;
  for (const float value : actual.y) sum += value;
  // The standard deviation of the mean of 160,000 such numbers is 0.0016; the draw is fixed.
  EXPECT_NEAR(sum / (4 * count), 1, 0.005);
}

TEST(Dropout, is_the_identity_in_evaluation) {
  const auto network = NetworkBuilder({100}).dropout(0.5).build();
  const auto x = random_floats(200, 1);
  EXPECT_EQ(run_block(network, 2, x, {}, {}, {.mode = device::Mode::evaluation}).y, x);
}

}  // namespace
}  // namespace lockstep::testing
