#include <cuda_runtime.h>

// Every number that the stand-in's cuda_runtime.h says, once more: compiled against it in any build, and
// against NVIDIA's header where that is installed, so that neither can differ.

// cudaError
static_assert(cudaSuccess == 0);
static_assert(cudaErrorInvalidValue == 1);
static_assert(cudaErrorMemoryAllocation == 2);
static_assert(cudaErrorInitializationError == 3);
static_assert(cudaErrorInvalidConfiguration == 9);
static_assert(cudaErrorStubLibrary == 34);
static_assert(cudaErrorInsufficientDriver == 35);
static_assert(cudaErrorDevicesUnavailable == 46);
static_assert(cudaErrorInvalidDeviceFunction == 98);
static_assert(cudaErrorNoDevice == 100);
static_assert(cudaErrorInvalidDevice == 101);
static_assert(cudaErrorNoKernelImageForDevice == 209);
static_assert(cudaErrorECCUncorrectable == 214);
static_assert(cudaErrorInvalidResourceHandle == 400);
static_assert(cudaErrorIllegalState == 401);
static_assert(cudaErrorNotReady == 600);
static_assert(cudaErrorIllegalAddress == 700);
static_assert(cudaErrorLaunchOutOfResources == 701);
static_assert(cudaErrorLaunchFailure == 719);
static_assert(cudaErrorNotSupported == 801);
static_assert(cudaErrorSystemDriverMismatch == 803);
static_assert(cudaErrorCompatNotSupportedOnDevice == 804);
static_assert(cudaErrorStreamCaptureUnsupported == 900);
static_assert(cudaErrorStreamCaptureInvalidated == 901);
static_assert(cudaErrorStreamCaptureMerge == 902);
static_assert(cudaErrorStreamCaptureUnmatched == 903);
static_assert(cudaErrorStreamCaptureUnjoined == 904);
static_assert(cudaErrorStreamCaptureIsolation == 905);
static_assert(cudaErrorStreamCaptureImplicit == 906);
static_assert(cudaErrorCapturedEvent == 907);
static_assert(cudaErrorStreamCaptureWrongThread == 908);
static_assert(cudaErrorUnknown == 999);

// cudaMemcpyKind
static_assert(cudaMemcpyHostToHost == 0);
static_assert(cudaMemcpyHostToDevice == 1);
static_assert(cudaMemcpyDeviceToHost == 2);
static_assert(cudaMemcpyDeviceToDevice == 3);
static_assert(cudaMemcpyDefault == 4);

// cudaStreamCaptureStatus
static_assert(cudaStreamCaptureStatusNone == 0);
static_assert(cudaStreamCaptureStatusActive == 1);
static_assert(cudaStreamCaptureStatusInvalidated == 2);

// cudaStreamCaptureMode
static_assert(cudaStreamCaptureModeGlobal == 0);
static_assert(cudaStreamCaptureModeThreadLocal == 1);
static_assert(cudaStreamCaptureModeRelaxed == 2);

// flags
static_assert(cudaHostAllocDefault == 0x00);
static_assert(cudaHostAllocPortable == 0x01);
static_assert(cudaHostAllocMapped == 0x02);
static_assert(cudaHostAllocWriteCombined == 0x04);
static_assert(cudaStreamDefault == 0x00);
static_assert(cudaStreamNonBlocking == 0x01);
static_assert(cudaEventDefault == 0x00);
static_assert(cudaEventBlockingSync == 0x01);
static_assert(cudaEventDisableTiming == 0x02);
static_assert(cudaEventWaitDefault == 0x00);

static_assert(sizeof(cudaUUID_t) == 16);
