#include <cublas_v2.h>
#include <cudnn.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <array>
#include <random>
#include <string_view>

// What the libraries answer where they need no GPU. This file is linked with the stand-in, and, where they
// are installed, with the vendor's libraries: both must pass.

namespace {

/// Descriptors of a convolution.
class VendorAnswers : public ::testing::Test {
 protected:
  VendorAnswers() {
    EXPECT_EQ(cudnnCreateTensorDescriptor(&x), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnCreateFilterDescriptor(&w), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnCreateConvolutionDescriptor(&convolution), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnCreateActivationDescriptor(&activation), CUDNN_STATUS_SUCCESS);
  }
  ~VendorAnswers() override {
    EXPECT_EQ(cudnnDestroyTensorDescriptor(x), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnDestroyFilterDescriptor(w), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnDestroyConvolutionDescriptor(convolution), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(cudnnDestroyActivationDescriptor(activation), CUDNN_STATUS_SUCCESS);
  }

  [[nodiscard]] cudnnStatus_t set_x(std::array<int, 4> extents, cudnnDataType_t type = CUDNN_DATA_FLOAT,
                                    cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW) const {
    return cudnnSetTensor4dDescriptor(x, format, type, extents[0], extents[1], extents[2], extents[3]);
  }
  [[nodiscard]] cudnnStatus_t set_w(std::array<int, 4> extents,
                                    cudnnDataType_t type = CUDNN_DATA_FLOAT) const {
    return cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NCHW, extents[0], extents[1], extents[2],
                                      extents[3]);
  }
  [[nodiscard]] cudnnStatus_t set_convolution(std::array<int, 2> padding, std::array<int, 2> stride,
                                              std::array<int, 2> dilation,
                                              cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION) const {
    return cudnnSetConvolution2dDescriptor(convolution, padding[0], padding[1], stride[0], stride[1],
                                           dilation[0], dilation[1], mode, CUDNN_DATA_FLOAT);
  }
  [[nodiscard]] cudnnStatus_t output(std::array<int, 4>& extents) const {
    return cudnnGetConvolution2dForwardOutputDim(convolution, x, w, &extents[0], &extents[1], &extents[2],
                                                 &extents[3]);
  }

  cudnnTensorDescriptor_t x = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  cudnnActivationDescriptor_t activation = nullptr;
};

TEST_F(VendorAnswers, ExtentsOfAConvolutionsOutput) {
  std::mt19937 random(1);
  const auto any = [&](int least, int most) {
    return least + static_cast<int>(random() % static_cast<unsigned>(most - least + 1));
  };
  int none = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::array image = {any(1, 4), any(1, 4), any(1, 12), any(1, 12)};
    const std::array filter = {any(1, 4), image[1], any(1, 6), any(1, 6)};
    const std::array padding = {any(0, 2), any(0, 2)};
    const std::array stride = {any(1, 3), any(1, 3)};
    const std::array dilation = {any(1, 3), any(1, 3)};
    ASSERT_EQ(set_x(image), CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(set_w(filter), CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(set_convolution(padding, stride, dilation), CUDNN_STATUS_SUCCESS);
    std::array expected = {image[0], filter[0], 0, 0};
    for (std::size_t d = 0; d < 2; ++d) {
      const int room = image[2 + d] + 2 * padding[d] - ((filter[2 + d] - 1) * dilation[d] + 1);
      if (room >= 0) expected[2 + d] = room / stride[d] + 1;
    }
    std::array<int, 4> extents = {};
    if (expected[2] == 0 || expected[3] == 0) {
      ++none;
      ASSERT_EQ(output(extents), CUDNN_STATUS_BAD_PARAM);
    } else {
      ASSERT_EQ(output(extents), CUDNN_STATUS_SUCCESS);
      ASSERT_EQ(extents, expected);
    }
  }
  EXPECT_GT(none, 100);
}

TEST_F(VendorAnswers, DescriptorsMustMakeSense) {
  EXPECT_EQ(set_x({0, 1, 1, 1}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_x({1, 1, 1, -1}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_x({1 << 11, 1 << 10, 1 << 10, 1}), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(set_x({1, 1, 1, 1}, static_cast<cudnnDataType_t>(77)), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_w({0, 1, 1, 1}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_convolution({-1, 0}, {1, 1}, {1, 1}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_convolution({0, 0}, {0, 1}, {1, 1}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_convolution({0, 0}, {1, 1}, {1, 0}), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnSetConvolutionMathType(convolution, static_cast<cudnnMathType_t>(9)),
            CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnSetActivationDescriptor(activation, static_cast<cudnnActivationMode_t>(99),
                                         CUDNN_NOT_PROPAGATE_NAN, 0),
            CUDNN_STATUS_BAD_PARAM);
}

TEST_F(VendorAnswers, DescriptorsMustBeSetAndFitEachOther) {
  std::array<int, 4> extents = {};
  EXPECT_EQ(output(extents), CUDNN_STATUS_BAD_PARAM);  // not set
  EXPECT_EQ(set_x({2, 3, 8, 9}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(set_w({4, 3, 3, 3}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(output(extents), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(set_convolution({0, 0}, {1, 1}, {1, 1}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(output(extents), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(set_w({4, 3, 3, 3}, CUDNN_DATA_BFLOAT16), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(output(extents), CUDNN_STATUS_SUCCESS);  // which is for the convolution itself to refuse
  EXPECT_EQ(set_w({4, 2, 3, 3}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(output(extents), CUDNN_STATUS_BAD_PARAM);
}

TEST_F(VendorAnswers, NullHandles) {
  EXPECT_EQ(cudnnSetTensor4dDescriptor(nullptr, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 1, 1),
            CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnSetConvolutionMathType(nullptr, CUDNN_FMA_MATH), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnDestroyTensorDescriptor(nullptr), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnCreate(nullptr), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnSetStream(nullptr, nullptr), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(cudnnDestroy(nullptr), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cublasCreate(nullptr), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(cublasSetStream(nullptr, nullptr), CUBLAS_STATUS_NOT_INITIALIZED);
  EXPECT_EQ(cublasDestroy(nullptr), CUBLAS_STATUS_NOT_INITIALIZED);
}

TEST_F(VendorAnswers, VersionsAreThoseOfTheHeaders) {
  EXPECT_EQ(cudnnGetVersion() / 10000, std::size_t{CUDNN_MAJOR});
  int value = 0;
  EXPECT_EQ(cublasGetVersion(nullptr, &value), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(value / 10000, CUBLAS_VER_MAJOR);
  EXPECT_EQ(cublasGetProperty(MAJOR_VERSION, &value), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(value, CUBLAS_VER_MAJOR);
  EXPECT_EQ(cublasGetProperty(static_cast<libraryPropertyType>(7), &value), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(ncclGetVersion(&value), ncclSuccess);
  EXPECT_EQ(value / 10000, NCCL_MAJOR);
}

TEST_F(VendorAnswers, TextsOfFailures) {
  for (const auto& [status, text] :
       {std::pair{CUDNN_STATUS_SUCCESS, "CUDNN_STATUS_SUCCESS"},
        std::pair{CUDNN_STATUS_NOT_INITIALIZED, "CUDNN_STATUS_NOT_INITIALIZED"},
        std::pair{CUDNN_STATUS_BAD_PARAM, "CUDNN_STATUS_BAD_PARAM"},
        std::pair{CUDNN_STATUS_NOT_SUPPORTED, "CUDNN_STATUS_NOT_SUPPORTED"},
        std::pair{CUDNN_STATUS_EXECUTION_FAILED, "CUDNN_STATUS_EXECUTION_FAILED"}})
    EXPECT_STREQ(cudnnGetErrorString(status), text);
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_NOT_INITIALIZED), "the library was not initialized");
  EXPECT_STREQ(cublasGetStatusString(CUBLAS_STATUS_EXECUTION_FAILED),
               "the function failed to launch on the GPU");
  EXPECT_STREQ(cublasGetStatusName(CUBLAS_STATUS_INVALID_VALUE), "CUBLAS_STATUS_INVALID_VALUE");
  EXPECT_STREQ(ncclGetErrorString(ncclSuccess), "no error");
  EXPECT_STREQ(ncclGetErrorString(ncclRemoteError), "remote process exited or there was a network error");
  EXPECT_STREQ(ncclGetErrorString(ncclInProgress), "NCCL operation in progress");
}

TEST_F(VendorAnswers, GroupsBeginBeforeTheyEnd) {
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  EXPECT_EQ(ncclGroupStart(), ncclSuccess);
  EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
}

}  // namespace
