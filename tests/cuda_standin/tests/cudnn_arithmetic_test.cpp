#include <cmath>
#include <set>
#include <string>

#include "cuda_standin/numbers.h"
#include "cuda_standin/tests/cudnn_fixture.h"

namespace lockstep::standin {
namespace {

using CudnnArithmeticTest = StandinTest;

enum class Pass { forward, data, filter };

/// Calls visit(x index, w index, y index) for each product that a convolution is made of.
template <class Visit>
void for_each_product(const Extents& e, Visit visit) {
  const auto index = [](int a, int b, int c, int d, int bs, int cs, int ds) {
    return static_cast<std::size_t>(((a * bs + b) * cs + c) * ds + d);
  };
  for (int n = 0; n < e.n; ++n)
    for (int k = 0; k < e.k; ++k)
      for (int p = 0; p < e.p(); ++p)
        for (int q = 0; q < e.q(); ++q)
          for (int c = 0; c < e.c; ++c)
            for (int r = 0; r < e.r; ++r)
              for (int s = 0; s < e.s; ++s) {
                const int row = p * e.stride_h + r * e.dilation_h - e.pad_h;
                const int column = q * e.stride_w + s * e.dilation_w - e.pad_w;
                if (row < 0 || row >= e.h || column < 0 || column >= e.w) continue;
                visit(index(n, c, row, column, e.c, e.h, e.w), index(k, c, r, s, e.c, e.r, e.s),
                      index(n, k, p, q, e.k, e.p(), e.q()));
              }
}

/// The sums in double, and for each the sum of its terms' absolute values.
struct Sums {
  std::vector<double> value, magnitude;
};

Sums by_definition(Pass pass, const Extents& e, const std::vector<float>& x, const std::vector<float>& w,
                   const std::vector<float>& dy) {
  const auto count = pass == Pass::forward ? e.y_count() : pass == Pass::data ? e.x_count() : e.w_count();
  Sums sums{std::vector<double>(count), std::vector<double>(count)};
  for_each_product(e, [&](std::size_t i, std::size_t j, std::size_t o) {
    const auto to = pass == Pass::forward ? o : pass == Pass::data ? i : j;
    const double term = pass == Pass::forward ? double{x[i]} * w[j]
                        : pass == Pass::data  ? double{w[j]} * dy[o]
                                              : double{x[i]} * dy[o];
    sums.value[to] += term;
    sums.magnitude[to] += std::abs(term);
  });
  return sums;
}

/// A convolution's operands and results on the device.
struct Data {
  Data(cudaStream_t stream, const Extents& extents, unsigned seed)
      : random(seed),
        host_x(random_floats(random, extents.x_count())),
        host_w(random_floats(random, extents.w_count())),
        host_dy(random_floats(random, extents.y_count())),
        x(stream, host_x),
        w(stream, host_w),
        dy(stream, host_dy),
        y(extents.y_count()),
        dx(extents.x_count()),
        dw(extents.w_count()) {}

  [[nodiscard]] const DeviceData<float>& result(Pass pass) const {
    return pass == Pass::forward ? y : pass == Pass::data ? dx : dw;
  }
  [[nodiscard]] cudnnStatus_t run(const TestConvolution& test, Pass pass, int algorithm) const {
    if (pass == Pass::forward) return test.forward(algorithm, x.data(), w.data(), y.data());
    if (pass == Pass::data) return test.backward_data(algorithm, w.data(), dy.data(), dx.data());
    return test.backward_filter(algorithm, x.data(), dy.data(), dw.data());
  }

  std::mt19937 random;
  std::vector<float> host_x, host_w, host_dy;
  DeviceData<float> x, w, dy, y, dx, dw;
};

constexpr Extents dense3{};
constexpr Extents dense5{.n = 3, .c = 2, .h = 9, .w = 7, .k = 16, .r = 5, .s = 5, .pad_h = 1, .pad_w = 2};
constexpr Extents strided{
    .h = 9, .w = 11, .r = 2, .s = 4, .pad_h = 1, .pad_w = 3, .stride_h = 2, .stride_w = 3};
constexpr Extents dilated{.h = 10, .w = 12, .pad_h = 2, .dilation_h = 2, .dilation_w = 3};
constexpr Extents image{.n = 1, .c = 1, .h = 28, .w = 28, .k = 24, .r = 5, .s = 5};

TEST_F(CudnnArithmeticTest, EachAlgorithmComputesWhatIsDefinedOrRefuses) {
  int computed = 0;
  int refused = 0;
  for (const auto& extents : {dense3, dense5, strided, dilated, image})
    for (const auto pass : {Pass::forward, Pass::data, Pass::filter})
      for (int algorithm = 0; algorithm < CUDNN_CONVOLUTION_FWD_ALGO_COUNT; ++algorithm) {
        const TestStream stream;
        const TestConvolution test(stream, extents);
        const Data data(stream, extents, 3);
        const auto status = data.run(test, pass, algorithm);
        if (status != CUDNN_STATUS_SUCCESS) {
          ++refused;
          continue;
        }
        ++computed;
        const auto result = data.result(pass).read(stream);
        const auto expected = by_definition(pass, extents, data.host_x, data.host_w, data.host_dy);
        // No sum has more than 2000 terms, each addition and product rounds once.
        for (std::size_t i = 0; i < result.size(); ++i)
          ASSERT_NEAR(result[i], expected.value[i], 2000 * 0x1p-24 * expected.magnitude[i])
              << "algorithm " << algorithm << ", element " << i;
      }
  EXPECT_EQ(computed, 24 + 20 + 23);  // as the documentation's tables have it: forward, data, filter
  EXPECT_EQ(refused, 5 * 3 * CUDNN_CONVOLUTION_FWD_ALGO_COUNT - computed);
}

TEST_F(CudnnArithmeticTest, AlphaAndBeta) {
  const TestStream stream;
  TestConvolution test(stream, dense3);
  const Data data(stream, dense3, 4);
  // What is multiplied by zero is not read: the results are poisoned at first.
  for (const auto pass : {Pass::forward, Pass::data, Pass::filter}) {
    test.alpha = 1;
    test.beta = 0;
    expect_status(data.run(test, pass, 1));
    const auto once = data.result(pass).read(stream);
    test.alpha = -2;
    test.beta = 4;
    expect_status(data.run(test, pass, 1));
    const auto twice = data.result(pass).read(stream);
    for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(twice[i], 2 * once[i]);
  }
}

std::vector<float> bits(Pass pass, int algorithm, int seed) {
  configure("seed=" + std::to_string(seed));
  const TestStream stream;
  const TestConvolution test(stream, dense5);
  const Data data(stream, dense5, 5);
  expect_status(data.run(test, pass, algorithm));
  return data.result(pass).read(stream);
}

TEST_F(CudnnArithmeticTest, DeterministicAlgorithmsGiveTheSameBitsAndOthersDoNot) {
  const auto distinct = [](Pass pass, int algorithm) {
    std::set<std::vector<float>> results;
    for (int seed = 0; seed < 10; ++seed) results.insert(bits(pass, algorithm, seed));
    return results.size();
  };
  for (const int algorithm : {0, 1, 2, 4, 5, 7})
    EXPECT_EQ(distinct(Pass::forward, algorithm), 1U) << algorithm;
  for (const int algorithm : {1, 2, 3, 5}) EXPECT_EQ(distinct(Pass::data, algorithm), 1U) << algorithm;
  for (const int algorithm : {1, 2, 5, 6}) EXPECT_EQ(distinct(Pass::filter, algorithm), 1U) << algorithm;
  EXPECT_GT(distinct(Pass::data, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0), 1U);
  EXPECT_GT(distinct(Pass::filter, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0), 1U);
  EXPECT_GT(distinct(Pass::filter, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3), 1U);
}

TEST_F(CudnnArithmeticTest, AlgorithmsDifferInTheirBits) {
  const auto distinct = [](Pass pass, std::initializer_list<int> algorithms) {
    std::set<std::vector<float>> results;
    for (const int algorithm : algorithms) results.insert(bits(pass, algorithm, 0));
    return results.size();
  };
  EXPECT_EQ(distinct(Pass::forward, {0, 1, 2, 4, 5, 7}), 6U);
  EXPECT_EQ(distinct(Pass::filter, {1, 2, 5, 6}), 4U);
  EXPECT_EQ(distinct(Pass::data, {1, 2, 3, 5}), 4U);
}

TEST_F(CudnnArithmeticTest, MathTypesRoundInputs) {
  const Extents one{.n = 1, .c = 1, .h = 1, .w = 1, .k = 1, .r = 1, .s = 1};
  const float exact = 1 + 0x1p-9F + 0x1p-12F;
  const auto result = [&](cudnnMathType_t math, int algorithm) {
    const TestStream stream;
    const TestConvolution test(stream, one, CUDNN_DATA_FLOAT, math);
    const DeviceData<float> x(stream, {exact});
    const DeviceData<float> w(stream, {1});
    const DeviceData<float> y(1);
    expect_status(test.forward(algorithm, x.data(), w.data(), y.data()));
    return y.read(stream).front();
  };
  EXPECT_EQ(result(CUDNN_FMA_MATH, 1), exact);
  EXPECT_EQ(result(CUDNN_TENSOR_OP_MATH, 1), 1 + 0x1p-9F);
  EXPECT_EQ(result(CUDNN_DEFAULT_MATH, 1), 1 + 0x1p-9F);
  EXPECT_EQ(result(CUDNN_TENSOR_OP_MATH, 0), exact);  // not on tensor cores
}

TEST_F(CudnnArithmeticTest, TakesAndGivesBfloat16) {
  const Extents two{.n = 1, .c = 2, .h = 1, .w = 1, .k = 1, .r = 1, .s = 1};
  const TestStream stream;
  const TestConvolution test(stream, two, CUDNN_DATA_BFLOAT16);
  const DeviceData<std::uint16_t> x(stream, {to_bfloat16(1), to_bfloat16(0x1p-8F)});
  const DeviceData<std::uint16_t> w(stream, {to_bfloat16(3), to_bfloat16(3)});
  const DeviceData<std::uint16_t> y(1);
  expect_status(test.forward(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, x.data(), w.data(), y.data()));
  EXPECT_EQ(from_bfloat16(y.read(stream).front()), round_to_bfloat16(3 + 3 * 0x1p-8F));
  expect_status(test.forward(CUDNN_CONVOLUTION_FWD_ALGO_GEMM, x.data(), w.data(), y.data()),
                CUDNN_STATUS_NOT_SUPPORTED);
}

TEST_F(CudnnArithmeticTest, FusedIsConvolutionThenBiasThenRelu) {
  const TestStream stream;
  TestConvolution test(stream, dense3);
  Data data(stream, dense3, 6);
  const auto bias = random_floats(data.random, 4);
  const DeviceData<float> device_bias(stream, bias);
  expect_status(test.forward(1, data.x.data(), data.w.data(), data.y.data()));
  const auto plain = data.y.read(stream);
  const DeviceData<float> result(
      dense3.y_count());  // poisoned, and z at once, which a factor of 0 keeps from use
  const auto run = [&](int algorithm) {
    expect_status(test.fused(algorithm, data.x.data(), data.w.data(), device_bias.data(), result.data()));
    return result.read(stream);
  };
  const auto relu = run(1);
  expect_status(
      cudnnSetActivationDescriptor(test.activation, CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN, 0));
  const auto identity = run(1);
  test.beta = 1;
  const auto doubled = run(1);
  const auto positions = static_cast<std::size_t>(dense3.p() * dense3.q());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const float expected = plain[i] + bias[i / positions % 4];
    EXPECT_EQ(identity[i], expected);
    EXPECT_EQ(relu[i], std::max(expected, 0.0F));
    EXPECT_EQ(doubled[i], (plain[i] + identity[i]) + bias[i / positions % 4]);
  }
}

TEST_F(CudnnArithmeticTest, FusedReluDropsNan) {
  const Extents one{.n = 1, .c = 1, .h = 1, .w = 1, .k = 1, .r = 1, .s = 1};
  const TestStream stream;
  const TestConvolution test(stream, one);
  const DeviceData<float> nan(stream, {std::nanf("")});
  const DeviceData<float> w(stream, {1});
  const DeviceData<float> y(1);
  expect_status(test.fused(1, nan.data(), w.data(), w.data(), y.data()));
  EXPECT_EQ(y.read(stream).front(), 0);
}

}  // namespace
}  // namespace lockstep::standin
