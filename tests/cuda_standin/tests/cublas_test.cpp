#include <cublas_v2.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

#include "cuda_standin/numbers.h"
#include "cuda_standin/tests/device_data.h"

namespace lockstep::standin {
namespace {

using CublasTest = StandinTest;
using CublasDeathTest = StandinTest;

constexpr std::size_t workspace_bytes = 1 << 20;

/// A handle with stream and workspace.
class TestHandle {
 public:
  explicit TestHandle(cudaStream_t stream, std::size_t bytes = workspace_bytes) : workspace_(bytes) {
    EXPECT_EQ(cublasCreate(&handle_), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetStream(handle_, stream), CUBLAS_STATUS_SUCCESS);
    EXPECT_EQ(cublasSetWorkspace(handle_, workspace_.data(), bytes), CUBLAS_STATUS_SUCCESS);
  }
  ~TestHandle() { static_cast<void>(cublasDestroy(handle_)); }
  TestHandle(const TestHandle&) = delete;
  TestHandle& operator=(const TestHandle&) = delete;
  operator cublasHandle_t() const { return handle_; }  // NOLINT(*-explicit-*)

 private:
  DeviceData<char> workspace_;
  cublasHandle_t handle_ = nullptr;
};

/// A product of matrices without gaps, but for what a test changes.
struct Product {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  int m = 2, n = 3, k = 4;
  float alpha = 1, beta = 0;
  int a_gap = 0, b_gap = 0, c_gap = 0;
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F_PEDANTIC;

  [[nodiscard]] int lda() const { return std::max(1, transpose_a == CUBLAS_OP_N ? m : k) + a_gap; }
  [[nodiscard]] int ldb() const { return std::max(1, transpose_b == CUBLAS_OP_N ? k : n) + b_gap; }
  [[nodiscard]] int ldc() const { return std::max(1, m) + c_gap; }
  [[nodiscard]] std::size_t a_count() const { return count(lda(), transpose_a == CUBLAS_OP_N ? k : m); }
  [[nodiscard]] std::size_t b_count() const { return count(ldb(), transpose_b == CUBLAS_OP_N ? n : k); }
  [[nodiscard]] std::size_t c_count() const { return count(ldc(), n); }

  cublasStatus_t run(cublasHandle_t handle, const float* a, const float* b, float* c) const {
    return cublasGemmEx(handle, transpose_a, transpose_b, m, n, k, &alpha, a, CUDA_R_32F, lda(), b,
                        CUDA_R_32F, ldb(), &beta, c, CUDA_R_32F, ldc(), compute, CUBLAS_GEMM_DEFAULT);
  }

 private:
  static std::size_t count(int leading, int columns) {
    return static_cast<std::size_t>(leading) * static_cast<std::size_t>(columns);
  }
};

std::vector<float> small_integers(std::mt19937& random, std::size_t count) {
  std::vector<float> values(count);
  for (auto& value : values) value = static_cast<float>(static_cast<int>(random() % 9) - 4);
  return values;
}

std::vector<float> fractions(std::mt19937& random, std::size_t count) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(count);
  for (auto& value : values) value = distribution(random);
  return values;
}

/// Element by element, as the definition has it.
std::vector<float> by_definition(const Product& x, const std::vector<float>& a, const std::vector<float>& b,
                                 std::vector<float> c) {
  const auto at = [](const std::vector<float>& matrix, int leading, int row, int column) {
    return matrix[static_cast<std::size_t>(column * leading + row)];
  };
  for (int i = 0; i < x.m; ++i)
    for (int j = 0; j < x.n; ++j) {
      double sum = 0;
      for (int t = 0; t < x.k; ++t)
        sum += double{x.transpose_a == CUBLAS_OP_N ? at(a, x.lda(), i, t) : at(a, x.lda(), t, i)} *
               (x.transpose_b == CUBLAS_OP_N ? at(b, x.ldb(), t, j) : at(b, x.ldb(), j, t));
      auto& to = c[static_cast<std::size_t>(j * x.ldc() + i)];
      to = static_cast<float>(x.alpha * sum + (x.beta == 0 ? 0 : double{x.beta} * to));
    }
  return c;
}

TEST_F(CublasTest, MultipliesAsDefined) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    configure("seed=" + std::to_string(round));
    const TestStream stream;
    const TestHandle handle(stream);
    Product x;
    x.transpose_a = random() % 2 == 0 ? CUBLAS_OP_N : CUBLAS_OP_T;
    x.transpose_b = random() % 2 == 0 ? CUBLAS_OP_N : CUBLAS_OP_T;
    x.m = static_cast<int>(random() % 20);
    x.n = static_cast<int>(random() % 20);
    x.k = static_cast<int>(random() % 300);
    x.a_gap = static_cast<int>(random() % 3);
    x.b_gap = static_cast<int>(random() % 3);
    x.c_gap = static_cast<int>(1 + random() % 3);
    x.alpha = static_cast<float>(random() % 3);
    x.beta = static_cast<float>(random() % 3);
    // Sums of small integers are exact in any order. What lies between the columns of c must stay.
    const auto a = small_integers(random, x.a_count());
    const auto b = small_integers(random, x.b_count());
    const auto c = small_integers(random, x.c_count());
    const DeviceData<float> device_a(stream, a);
    const DeviceData<float> device_b(stream, b);
    const DeviceData<float> device_c(stream, c);
    ASSERT_EQ(x.run(handle, device_a.data(), device_b.data(), device_c.data()), CUBLAS_STATUS_SUCCESS);
    ASSERT_EQ(device_c.read(stream), by_definition(x, a, b, c)) << round;
  }
}

TEST_F(CublasTest, DoesNotReadWhatIsMultipliedByZero) {
  const TestStream stream;
  const TestHandle handle(stream);
  const Product x{.m = 1, .n = 1, .k = 1, .beta = 0};
  const DeviceData<float> two(stream, {2});
  const DeviceData<float> result(1);  // poisoned: NaN
  EXPECT_EQ(x.run(handle, two.data(), two.data(), result.data()), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(result.read(stream), std::vector<float>{4});
}

TEST_F(CublasTest, RoundsInputsAsTheComputeTypeSays) {
  const TestStream stream;
  const TestHandle handle(stream);
  const float exact = 1 + 0x1p-9F + 0x1p-12F;  // bfloat16 has 7 bits of fraction, TF32 has 10
  const DeviceData<float> value(stream, {exact});
  const DeviceData<float> one(stream, {1});
  const DeviceData<float> result(1);
  const auto product = [&](cublasComputeType_t compute) {
    const Product x{.m = 1, .n = 1, .k = 1, .compute = compute};
    EXPECT_EQ(x.run(handle, value.data(), one.data(), result.data()), CUBLAS_STATUS_SUCCESS);
    return result.read(stream).front();
  };
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F_PEDANTIC), exact);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F), exact);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F_FAST_TF32), 1 + 0x1p-9F);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F_FAST_16BF), 1);
  EXPECT_EQ(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F), 1 + 0x1p-9F);
  EXPECT_EQ(product(CUBLAS_COMPUTE_32F_PEDANTIC), exact);
}

TEST_F(CublasTest, TakesBfloat16) {
  const TestStream stream;
  const TestHandle handle(stream);
  const DeviceData<std::uint16_t> three(stream, {to_bfloat16(3)});
  const DeviceData<std::uint16_t> third(stream, {to_bfloat16(1.0F / 3)});
  const DeviceData<float> result(1);
  const float alpha = 1;
  const float beta = 0;
  EXPECT_EQ(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, three.data(), CUDA_R_16BF, 1,
                         third.data(), CUDA_R_16BF, 1, &beta, result.data(), CUDA_R_32F, 1,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(result.read(stream).front(), 3 * round_to_bfloat16(1.0F / 3));
}

/// The product's bits with that seed and that workspace.
std::vector<float> bits(int seed, std::size_t workspace) {
  configure("seed=" + std::to_string(seed));
  const TestStream stream;
  const TestHandle handle(stream, workspace);
  std::mt19937 random(5);
  const Product x{.m = 7, .n = 5, .k = 1000};
  const DeviceData<float> a(stream, fractions(random, x.a_count()));
  const DeviceData<float> b(stream, fractions(random, x.b_count()));
  const DeviceData<float> c(x.c_count());
  EXPECT_EQ(x.run(handle, a.data(), b.data(), c.data()), CUBLAS_STATUS_SUCCESS);
  return c.read(stream);
}

TEST_F(CublasTest, BitsDependOnTheWorkspaceButNotOnTheSchedule) {
  const auto expected = bits(0, workspace_bytes);
  for (int seed = 1; seed < 20; ++seed) EXPECT_EQ(bits(seed, workspace_bytes), expected);
  EXPECT_NE(bits(0, 64), expected);
}

TEST_F(CublasTest, RefusesWrongArguments) {
  const TestStream stream;
  const TestHandle handle(stream);
  const DeviceData<float> memory(100);
  const auto run = [&](const Product& x) {
    return x.run(handle, memory.data(), memory.data() + 30, memory.data() + 60);
  };
  EXPECT_EQ(run({}), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run({.m = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run({.a_gap = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run({.b_gap = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run({.c_gap = -1}), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(run({.transpose_a = CUBLAS_OP_T, .a_gap = -1}), CUBLAS_STATUS_INVALID_VALUE);
  const float one = 1;
  EXPECT_EQ(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, memory.data(), CUDA_R_32F, 1,
                         memory.data(), CUDA_R_16BF, 1, &one, memory.data() + 1, CUDA_R_32F, 1,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, nullptr, memory.data(), CUDA_R_32F, 1,
                         memory.data(), CUDA_R_32F, 1, &one, memory.data() + 1, CUDA_R_32F, 1,
                         CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
            CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetWorkspace(handle, memory.data() + 1, 64), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetStream(nullptr, stream), CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(Product{}.run(nullptr, memory.data(), memory.data(), memory.data()),
            CUBLAS_STATUS_NOT_INITIALIZED);
}

TEST_F(CublasTest, MayBeCaptured) {
  const TestStream stream;
  const TestHandle handle(stream);
  const DeviceData<float> two(stream, {2});
  const DeviceData<float> result(stream, {1});
  const Product x{.m = 1, .n = 1, .k = 1, .beta = 1};
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  expect_success(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  EXPECT_EQ(x.run(handle, two.data(), two.data(), result.data()), CUBLAS_STATUS_SUCCESS);
  expect_success(cudaStreamEndCapture(stream, &graph));
  expect_success(cudaGraphInstantiate(&executable, graph));
  expect_success(cudaGraphDestroy(graph));
  for (int launch = 0; launch < 3; ++launch) expect_success(cudaGraphLaunch(executable, stream));
  EXPECT_EQ(result.read(stream), std::vector<float>{13});
  expect_success(cudaGraphExecDestroy(executable));
}

TEST_F(CublasTest, FailsWhereATestAsksForIt) {
  configure("fail=cublasGemmEx:2");
  const TestStream stream;
  const TestHandle handle(stream);
  const DeviceData<float> memory(100);
  const auto run = [&] {
    return Product{}.run(handle, memory.data(), memory.data() + 30, memory.data() + 60);
  };
  EXPECT_EQ(run(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(run(), CUBLAS_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(run(), CUBLAS_STATUS_SUCCESS);
}

TEST_F(CublasDeathTest, NoticesWhatTheLibraryWouldNot) {
  const TestStream stream;
  const TestHandle handle(stream);
  const DeviceData<float> memory(100);
  const Product x;
  EXPECT_DEATH(static_cast<void>(x.run(handle, memory.data(), memory.data() + 30, memory.data() + 7)),
               "overlaps");
  EXPECT_DEATH(static_cast<void>(x.run(handle, memory.data(), memory.data() + 30, memory.data() + 99)),
               "not within one live block");
  EXPECT_DEATH(
      {
        static_cast<void>(cublasSetStream(handle, stream));  // which takes the workspace away
        static_cast<void>(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
        static_cast<void>(x.run(handle, memory.data(), memory.data() + 30, memory.data() + 60));
      },
      "captured without cublasSetWorkspace");
  EXPECT_DEATH(
      {
        static_cast<void>(cudaSetDevice(1));
        static_cast<void>(x.run(handle, memory.data(), memory.data() + 30, memory.data() + 60));
      },
      "another device");
  EXPECT_DEATH(
      {
        static_cast<void>(cublasDestroy(handle));
        static_cast<void>(cublasDestroy(handle));
      },
      "not a live cublasHandle_t");
}

}  // namespace
}  // namespace lockstep::standin
