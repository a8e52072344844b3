#include <cublas_v2.h>
#include <cudnn.h>
#include <nccl.h>

#include <cstddef>

// Every number that the stand-in's headers say, once more: compiled against them in any build, and against
// the vendors' headers where those are installed, so that neither can differ.

// library_types.h
static_assert(CUDA_R_32F == 0);
static_assert(CUDA_R_64F == 1);
static_assert(CUDA_R_16F == 2);
static_assert(CUDA_R_16BF == 14);
static_assert(MAJOR_VERSION == 0);
static_assert(MINOR_VERSION == 1);
static_assert(PATCH_LEVEL == 2);

// cublas_v2.h
static_assert(CUBLAS_STATUS_SUCCESS == 0);
static_assert(CUBLAS_STATUS_NOT_INITIALIZED == 1);
static_assert(CUBLAS_STATUS_ALLOC_FAILED == 3);
static_assert(CUBLAS_STATUS_INVALID_VALUE == 7);
static_assert(CUBLAS_STATUS_ARCH_MISMATCH == 8);
static_assert(CUBLAS_STATUS_MAPPING_ERROR == 11);
static_assert(CUBLAS_STATUS_EXECUTION_FAILED == 13);
static_assert(CUBLAS_STATUS_INTERNAL_ERROR == 14);
static_assert(CUBLAS_STATUS_NOT_SUPPORTED == 15);
static_assert(CUBLAS_STATUS_LICENSE_ERROR == 16);
static_assert(CUBLAS_OP_N == 0);
static_assert(CUBLAS_OP_T == 1);
static_assert(CUBLAS_OP_C == 2);
static_assert(CUBLAS_GEMM_DEFAULT == -1);
static_assert(CUBLAS_GEMM_DEFAULT_TENSOR_OP == 99);
static_assert(CUBLAS_DEFAULT_MATH == 0);
static_assert(CUBLAS_PEDANTIC_MATH == 2);
static_assert(CUBLAS_TF32_TENSOR_OP_MATH == 3);
static_assert(CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION == 16);
static_assert(CUBLAS_COMPUTE_32F == 68);
static_assert(CUBLAS_COMPUTE_32F_PEDANTIC == 69);
static_assert(CUBLAS_COMPUTE_32F_FAST_16BF == 75);
static_assert(CUBLAS_COMPUTE_32F_FAST_TF32 == 77);

// cudnn.h
static_assert(CUDNN_STATUS_SUCCESS == 0);
static_assert(CUDNN_STATUS_NOT_INITIALIZED == 1001);
static_assert(CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH == 1002);
static_assert(CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH == 1003);
static_assert(CUDNN_STATUS_DEPRECATED == 1004);
static_assert(CUDNN_STATUS_LICENSE_ERROR == 1005);
static_assert(CUDNN_STATUS_BAD_PARAM == 2000);
static_assert(CUDNN_STATUS_BAD_PARAM_NULL_POINTER == 2002);
static_assert(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER == 2003);
static_assert(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED == 2004);
static_assert(CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND == 2005);
static_assert(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT == 2006);
static_assert(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH == 2008);
static_assert(CUDNN_STATUS_NOT_SUPPORTED == 3000);
static_assert(CUDNN_STATUS_NOT_SUPPORTED_SHAPE == 3002);
static_assert(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE == 3003);
static_assert(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT == 3004);
static_assert(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH == 3007);
static_assert(CUDNN_STATUS_INTERNAL_ERROR == 4000);
static_assert(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED == 4003);
static_assert(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED == 4004);
static_assert(CUDNN_STATUS_EXECUTION_FAILED == 5000);
static_assert(CUDNN_DATA_FLOAT == 0);
static_assert(CUDNN_DATA_DOUBLE == 1);
static_assert(CUDNN_DATA_HALF == 2);
static_assert(CUDNN_DATA_INT32 == 4);
static_assert(CUDNN_DATA_BFLOAT16 == 9);
static_assert(CUDNN_DEFAULT_MATH == 0);
static_assert(CUDNN_TENSOR_OP_MATH == 1);
static_assert(CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION == 2);
static_assert(CUDNN_FMA_MATH == 3);
static_assert(CUDNN_NOT_PROPAGATE_NAN == 0);
static_assert(CUDNN_PROPAGATE_NAN == 1);
static_assert(CUDNN_NON_DETERMINISTIC == 0);
static_assert(CUDNN_DETERMINISTIC == 1);
static_assert(CUDNN_TENSOR_NCHW == 0);
static_assert(CUDNN_TENSOR_NHWC == 1);
static_assert(CUDNN_TENSOR_NCHW_VECT_C == 2);
static_assert(CUDNN_CONVOLUTION == 0);
static_assert(CUDNN_CROSS_CORRELATION == 1);
static_assert(CUDNN_ACTIVATION_SIGMOID == 0);
static_assert(CUDNN_ACTIVATION_RELU == 1);
static_assert(CUDNN_ACTIVATION_TANH == 2);
static_assert(CUDNN_ACTIVATION_CLIPPED_RELU == 3);
static_assert(CUDNN_ACTIVATION_ELU == 4);
static_assert(CUDNN_ACTIVATION_IDENTITY == 5);
static_assert(CUDNN_ACTIVATION_SWISH == 6);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM == 0);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM == 1);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_GEMM == 2);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_DIRECT == 3);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_FFT == 4);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_FFT_TILING == 5);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD == 6);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED == 7);
static_assert(CUDNN_CONVOLUTION_FWD_ALGO_COUNT == 8);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0 == 0);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1 == 1);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT == 2);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3 == 3);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD == 4);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_WINOGRAD_NONFUSED == 5);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_FFT_TILING == 6);
static_assert(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT == 7);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_0 == 0);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_1 == 1);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT == 2);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_FFT_TILING == 3);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD == 4);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_WINOGRAD_NONFUSED == 5);
static_assert(CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT == 6);
static_assert(sizeof(cudnnConvolutionFwdAlgoPerf_t) == 48);
static_assert(offsetof(cudnnConvolutionFwdAlgoPerf_t, memory) == 16);
static_assert(offsetof(cudnnConvolutionFwdAlgoPerf_t, mathType) == 28);
static_assert(sizeof(cudnnConvolutionBwdDataAlgoPerf_t) == sizeof(cudnnConvolutionFwdAlgoPerf_t));
static_assert(sizeof(cudnnConvolutionBwdFilterAlgoPerf_t) == sizeof(cudnnConvolutionFwdAlgoPerf_t));

// nccl.h
static_assert(ncclSuccess == 0);
static_assert(ncclUnhandledCudaError == 1);
static_assert(ncclSystemError == 2);
static_assert(ncclInternalError == 3);
static_assert(ncclInvalidArgument == 4);
static_assert(ncclInvalidUsage == 5);
static_assert(ncclRemoteError == 6);
static_assert(ncclInProgress == 7);
static_assert(ncclNumResults == 8);
static_assert(ncclSum == 0);
static_assert(ncclProd == 1);
static_assert(ncclMax == 2);
static_assert(ncclMin == 3);
static_assert(ncclAvg == 4);
static_assert(ncclNumOps == 5);
static_assert(ncclMaxRedOp == 0x7fffffff);
static_assert(ncclInt8 == 0);
static_assert(ncclChar == 0);
static_assert(ncclUint8 == 1);
static_assert(ncclInt32 == 2);
static_assert(ncclInt == 2);
static_assert(ncclUint32 == 3);
static_assert(ncclInt64 == 4);
static_assert(ncclUint64 == 5);
static_assert(ncclFloat16 == 6);
static_assert(ncclHalf == 6);
static_assert(ncclFloat32 == 7);
static_assert(ncclFloat == 7);
static_assert(ncclFloat64 == 8);
static_assert(ncclDouble == 8);
static_assert(ncclBfloat16 == 9);
static_assert(ncclFloat8e4m3 == 10);
static_assert(ncclFloat8e5m2 == 11);
static_assert(ncclNumTypes == 12);
static_assert(NCCL_UNIQUE_ID_BYTES == 128);
static_assert(sizeof(ncclUniqueId) == NCCL_UNIQUE_ID_BYTES);
static_assert(sizeof(ncclConfig_t) == 80);
static_assert(offsetof(ncclConfig_t, blocking) == 16);
static_assert(offsetof(ncclConfig_t, netName) == 32);
