#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/philox.h"
#include "device/cpu/elementwise.h"
#include "device/network_builder.h"
#include "device/numbers.h"
#include "device_cuda/layer_harness.h"

namespace lockstep::testing {
namespace {

using config::Precision;
using device::ActivationOp;
using device::DropoutOp;
using Kind = ActivationOp::Kind;

constexpr float infinity = std::numeric_limits<float>::infinity();

struct Functions {
  Kind kind;
  void (*forward)(const float* x, float* y, std::int64_t count);
  void (*backward)(const float* y, float* gradient, std::int64_t count);
};

TEST(CudaActivation, has_the_bits_of_the_cpu) {
  const StandinDevice device;
  for (const Functions& functions :
       {Functions{Kind::relu, device::cpu::relu_forward, device::cpu::relu_backward},
        Functions{Kind::tanh, device::cpu::tanh_forward, device::cpu::tanh_backward},
        Functions{Kind::sigmoid, device::cpu::sigmoid_forward, device::cpu::sigmoid_backward}}) {
    SCOPED_TRACE(static_cast<int>(functions.kind));
    const auto network = NetworkBuilder({5, 3, 7}).activation(functions.kind).build();
    auto x = random_floats(std::size_t{3 * 105}, 1);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % 3 == 0 ? 20 : 2;
    x[4] = infinity;
    x[5] = -infinity;
    x[6] = -0.0F;
    const auto dy = random_floats(x.size(), 2);
    const auto actual = run_layer(device, Precision::fp32, network, 3, x, dy, {}, {});
    std::vector<float> y(x.size());
    functions.forward(x.data(), y.data(), std::ssize(x));
    EXPECT_EQ(bits(actual.y), bits(y));
    auto dx = dy;
    functions.backward(y.data(), dx.data(), std::ssize(x));
    EXPECT_EQ(bits(actual.dx), bits(dx));
  }
}

class CudaDropoutRate : public ::testing::TestWithParam<double> {};

TEST_P(CudaDropoutRate, drops_exactly_what_the_formula_says) {
  const StandinDevice device;
  constexpr std::int64_t samples = 3;
  const std::int64_t count = 5 * 3 * 7;  // not a multiple of four
  auto network = NetworkBuilder({5, 3, 7}).dropout(GetParam()).build();
  std::get<DropoutOp>(network.nodes.front().op).stream = 6;
  const auto x = random_floats(static_cast<std::size_t>(samples * count), 1);
  const auto dy = random_floats(static_cast<std::size_t>(samples * count), 2);
  const Draw draw{.rows = {41, 5'000'000'000, 0}, .epoch = 9};
  const auto actual = run_layer(device, Precision::fp32, network, samples, x, dy, {}, {}, draw);
  const RandomKey key(network.seed, Purpose::dropout, 6);
  const auto divisor = static_cast<float>(1 - GetParam());
  for (std::size_t n = 0; n < samples; ++n) {
    for (std::size_t e = 0; e < static_cast<std::size_t>(count); ++e) {
      const auto word =
          key.words(9, static_cast<std::uint64_t>(draw.rows[n]), static_cast<std::uint32_t>(e / 4))[e % 4];
      const bool dropped = unit_float(word) < GetParam();
      const std::size_t i = n * static_cast<std::size_t>(count) + e;
      ASSERT_EQ(actual.y[i], dropped ? 0.0F : x[i] / divisor) << n << " " << e;
      ASSERT_EQ(actual.dx[i], dropped ? 0.0F : dy[i] / divisor) << n << " " << e;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rates, CudaDropoutRate, ::testing::Values(0.0, 0.1, 0.5, 0.75, 0.999),
                         [](const auto& rate) {
                           return "per_mille_" + std::to_string(std::lround(1000 * rate.param));
                         });

TEST(CudaDropout, draws_the_line_where_the_formula_does) {
  const StandinDevice device;
  auto network = NetworkBuilder({1}).dropout(0.5).build();
  auto& op = std::get<DropoutOp>(network.nodes.front().op);
  const Draw draw{.rows = {12}, .epoch = 2};
  const double drawn = unit_float(RandomKey(network.seed, Purpose::dropout, op.stream).words(2, 12, 0)[0]);
  op.rate = drawn;  // not below it: kept
  EXPECT_NE(run_layer(device, Precision::fp32, network, 1, {3}, {1}, {}, {}, draw).y[0], 0);
  op.rate = drawn + 0x1p-25;
  EXPECT_EQ(run_layer(device, Precision::fp32, network, 1, {3}, {1}, {}, {}, draw).y[0], 0);
}

}  // namespace
}  // namespace lockstep::testing
