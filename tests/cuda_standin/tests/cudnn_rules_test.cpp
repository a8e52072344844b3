#include <algorithm>
#include <string>

#include "cuda_standin/tests/cudnn_fixture.h"

namespace lockstep::standin {
namespace {

using CudnnRulesTest = StandinTest;
using CudnnRulesDeathTest = StandinTest;

constexpr int many = 20;

std::vector<cudnnConvolutionFwdAlgoPerf_t> recommended(const TestConvolution& test, int wanted = many) {
  std::vector<cudnnConvolutionFwdAlgoPerf_t> result(many);
  int count = 0;
  expect_status(cudnnGetConvolutionForwardAlgorithm_v7(test.handle, test.x, test.w, test.convolution, test.y,
                                                       wanted, &count, result.data()));
  result.resize(static_cast<std::size_t>(count));
  return result;
}

TEST_F(CudnnRulesTest, RecommendsWhatIsPossibleFirst) {
  const TestStream stream;
  const TestConvolution test(stream, {});
  const auto all = recommended(test);
  ASSERT_EQ(all.size(), std::size_t{CUDNN_CONVOLUTION_FWD_ALGO_COUNT});
  EXPECT_TRUE(
      std::ranges::is_partitioned(all, [](const auto& each) { return each.status == CUDNN_STATUS_SUCCESS; }));
  EXPECT_EQ(all.front().status, CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(all.back().status, CUDNN_STATUS_NOT_SUPPORTED);  // DIRECT is not implemented
  EXPECT_EQ(all.back().algo, CUDNN_CONVOLUTION_FWD_ALGO_DIRECT);
  for (const auto& each : all) {
    std::size_t bytes = 0;
    expect_status(cudnnGetConvolutionForwardWorkspaceSize(test.handle, test.x, test.w, test.convolution,
                                                          test.y, each.algo, &bytes),
                  each.status);
    EXPECT_EQ(each.memory, bytes);  // 0 for both where it is not possible
    EXPECT_EQ(each.mathType, CUDNN_FMA_MATH);
  }
  EXPECT_EQ(recommended(test, 1).size(), 1U);
}

TEST_F(CudnnRulesTest, RecommendsNondeterministicOnesToo) {
  const TestStream stream;
  const TestConvolution test(stream, {.r = 2, .s = 2});
  std::vector<cudnnConvolutionBwdDataAlgoPerf_t> data(many);
  std::vector<cudnnConvolutionBwdFilterAlgoPerf_t> filter(many);
  int count = 0;
  expect_status(cudnnGetConvolutionBackwardDataAlgorithm_v7(test.handle, test.w, test.y, test.convolution,
                                                            test.x, many, &count, data.data()));
  EXPECT_EQ(data.front().algo, CUDNN_CONVOLUTION_BWD_DATA_ALGO_0);
  EXPECT_EQ(data.front().determinism, CUDNN_NON_DETERMINISTIC);
  expect_status(cudnnGetConvolutionBackwardFilterAlgorithm_v7(test.handle, test.x, test.y, test.convolution,
                                                              test.w, many, &count, filter.data()));
  EXPECT_EQ(filter.front().algo, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0);
  EXPECT_EQ(filter.front().determinism, CUDNN_NON_DETERMINISTIC);
}

TEST_F(CudnnRulesTest, TensorCoresAreOneMoreRecommendation) {
  const TestStream stream;
  const TestConvolution test(stream, {}, CUDNN_DATA_FLOAT, CUDNN_TENSOR_OP_MATH);
  const auto all = recommended(test);
  const auto uses = [&](cudnnMathType_t math) {
    return std::ranges::count_if(all, [&](const auto& each) {
      return each.algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM && each.mathType == math;
    });
  };
  EXPECT_EQ(uses(CUDNN_TENSOR_OP_MATH), 1);
  EXPECT_EQ(uses(CUDNN_FMA_MATH), 1);
}

TEST_F(CudnnRulesTest, AnotherModelRecommendsOthers) {
  const auto first = [] {
    const TestStream stream;
    const TestConvolution test(stream, {});
    return recommended(test).front().algo;
  };
  const auto usual = first();
  configure("cudnn_model=2");
  EXPECT_NE(first(), usual);
}

TEST_F(CudnnRulesTest, DescriptorsMustFitEachOther) {
  const TestStream stream;
  const TestConvolution test(stream, {});
  const auto status = [&] {
    std::size_t bytes = 0;
    return cudnnGetConvolutionForwardWorkspaceSize(test.handle, test.x, test.w, test.convolution, test.y,
                                                   CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, &bytes);
  };
  const auto set_x = [&](int channels, cudnnTensorFormat_t format, cudnnDataType_t type) {
    expect_status(cudnnSetTensor4dDescriptor(test.x, format, type, 2, channels, 8, 9));
  };
  EXPECT_EQ(status(), CUDNN_STATUS_SUCCESS);
  set_x(2, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT);
  EXPECT_EQ(status(), CUDNN_STATUS_BAD_PARAM);
  set_x(3, CUDNN_TENSOR_NCHW, CUDNN_DATA_BFLOAT16);
  EXPECT_EQ(status(), CUDNN_STATUS_BAD_PARAM);
  set_x(3, CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT);
  EXPECT_EQ(status(), CUDNN_STATUS_NOT_SUPPORTED);
  set_x(3, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT);
  expect_status(cudnnSetTensor4dDescriptor(test.y, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 4, 6, 6));
  EXPECT_EQ(status(), CUDNN_STATUS_BAD_PARAM);

  cudnnTensorDescriptor_t fresh = nullptr;
  expect_status(cudnnCreateTensorDescriptor(&fresh));
  std::size_t bytes = 0;
  EXPECT_EQ(cudnnGetConvolutionForwardWorkspaceSize(test.handle, test.x, test.w, test.convolution, fresh,
                                                    CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, &bytes),
            CUDNN_STATUS_BAD_PARAM);
  expect_status(cudnnDestroyTensorDescriptor(fresh));
}

/// Operands for Extents{}.
struct Operands {
  DeviceData<float> x{Extents{}.x_count()}, w{Extents{}.w_count()}, bias{4}, y{Extents{}.y_count()};
};

TEST_F(CudnnRulesTest, WorkspaceMustSuffice) {
  const TestStream stream;
  TestConvolution test(stream, {});
  const Operands data;
  const auto algorithm = CUDNN_CONVOLUTION_FWD_ALGO_GEMM;
  std::size_t needed = 0;
  expect_status(cudnnGetConvolutionForwardWorkspaceSize(test.handle, test.x, test.w, test.convolution, test.y,
                                                        algorithm, &needed));
  test.workspace_bytes = needed;
  EXPECT_EQ(test.forward(algorithm, data.x.data(), data.w.data(), data.y.data()), CUDNN_STATUS_SUCCESS);
  test.workspace_bytes = needed - 1;
  EXPECT_EQ(test.forward(algorithm, data.x.data(), data.w.data(), data.y.data()), CUDNN_STATUS_BAD_PARAM);
}

TEST_F(CudnnRulesTest, WorkspaceHoldsNothing) {
  const TestStream stream;
  const TestConvolution test(stream, {});
  const Operands data;
  std::size_t used = 0;
  expect_status(cudnnGetConvolutionForwardWorkspaceSize(test.handle, test.x, test.w, test.convolution, test.y,
                                                        CUDNN_CONVOLUTION_FWD_ALGO_GEMM, &used));
  test.workspace.write(stream, std::vector<char>(test.workspace.bytes(), 1));
  expect_status(test.forward(CUDNN_CONVOLUTION_FWD_ALGO_GEMM, data.x.data(), data.w.data(), data.y.data()));
  const auto after = test.workspace.read(stream);
  EXPECT_EQ(std::ranges::count(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(used), 1), 0);
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(after, 1)), after.size() - used);
}

TEST_F(CudnnRulesTest, FusedIsRestricted) {
  const TestStream stream;
  const TestConvolution test(stream, {});
  const Operands data;
  const auto run = [&](int algorithm) {
    return test.fused(algorithm, data.x.data(), data.w.data(), data.bias.data(), data.y.data());
  };
  const auto activation = [&](cudnnActivationMode_t mode, cudnnNanPropagation_t nan) {
    expect_status(cudnnSetActivationDescriptor(test.activation, mode, nan, 0));
  };
  EXPECT_EQ(run(0), CUDNN_STATUS_SUCCESS);
  activation(CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN);
  EXPECT_EQ(run(0), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(run(1), CUDNN_STATUS_SUCCESS);
  activation(CUDNN_ACTIVATION_TANH, CUDNN_NOT_PROPAGATE_NAN);
  EXPECT_EQ(run(1), CUDNN_STATUS_NOT_SUPPORTED);
  activation(CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN);
  EXPECT_EQ(run(1), CUDNN_STATUS_NOT_SUPPORTED);
  activation(CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN);
  expect_status(cudnnSetTensor4dDescriptor(test.bias, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 3, 1, 1));
  EXPECT_EQ(run(1), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(test.fused(1, data.x.data(), data.w.data(), nullptr, data.y.data()), CUDNN_STATUS_BAD_PARAM);
}

TEST_F(CudnnRulesTest, FailsWhereATestAsksForIt) {
  configure("fail=cudnnConvolutionForward:1,fail=cudnnCreateFilterDescriptor:2");
  const TestStream stream;
  const TestConvolution test(stream, {});
  const Operands data;
  EXPECT_EQ(test.forward(1, data.x.data(), data.w.data(), data.y.data()), CUDNN_STATUS_EXECUTION_FAILED);
  EXPECT_EQ(test.forward(1, data.x.data(), data.w.data(), data.y.data()), CUDNN_STATUS_SUCCESS);
  cudnnFilterDescriptor_t filter = nullptr;
  EXPECT_NE(cudnnCreateFilterDescriptor(&filter), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(filter, nullptr);
}

TEST_F(CudnnRulesDeathTest, NoticesWhatTheLibraryWouldNot) {
  const TestStream stream;
  const TestConvolution test(stream, {});
  const Operands data;
  const auto forward = [&](const void* x, void* y) {
    static_cast<void>(test.forward(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, x, data.w.data(), y));
  };
  EXPECT_DEATH(forward(data.x.data(), data.x.data()), "overlaps");
  EXPECT_DEATH(forward(test.workspace.data(), data.y.data()), "overlaps");
  EXPECT_DEATH(forward(data.x.data(), data.y.data() + 1), "not within one live block");
  EXPECT_DEATH(
      {
        static_cast<void>(cudaSetDevice(1));
        forward(data.x.data(), data.y.data());
      },
      "another device");
  EXPECT_DEATH(
      {
        static_cast<void>(cudnnDestroyTensorDescriptor(test.x));
        static_cast<void>(cudnnDestroyTensorDescriptor(test.x));
      },
      "not a live cudnnTensorDescriptor_t");
}

}  // namespace
}  // namespace lockstep::standin
