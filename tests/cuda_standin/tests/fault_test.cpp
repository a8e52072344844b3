#include <unistd.h>
#include <csignal>

#include <functional>
#include <map>
#include <string>

#include "cuda_standin/tests/fixture.h"

namespace lockstep::standin {
namespace {

using FaultTest = StandinTest;
using FaultDeathTest = StandinTest;

/// Every call of the runtime once, in an order that makes sense; the first error of a call by its name.
std::map<std::string, cudaError_t> call_everything() {
  std::map<std::string, cudaError_t> results;
  const auto note = [&](const char* call, cudaError_t result) {
    if (result != cudaSuccess || !results.contains(call)) results[call] = result;
    if (result != cudaSuccess) static_cast<void>(cudaGetLastError());
    return result == cudaSuccess;
  };
  int count = 0;
  cudaDeviceProp properties{};
  std::size_t free = 0;
  std::size_t total = 0;
  int* device = nullptr;
  int* host = nullptr;
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  note("cudaDriverGetVersion", cudaDriverGetVersion(&count));
  note("cudaRuntimeGetVersion", cudaRuntimeGetVersion(&count));
  note("cudaGetDeviceCount", cudaGetDeviceCount(&count));
  note("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, 0));
  note("cudaDeviceCanAccessPeer", cudaDeviceCanAccessPeer(&count, 0, 1));
  note("cudaSetDevice", cudaSetDevice(0));
  note("cudaGetDevice", cudaGetDevice(&count));
  note("cudaMemGetInfo", cudaMemGetInfo(&free, &total));
  const bool has_device = note("cudaMalloc", cudaMalloc(&device, 64));
  const bool has_host = note("cudaHostAlloc", cudaHostAlloc(&host, 64, cudaHostAllocDefault));
  if (note("cudaEventCreateWithFlags", cudaEventCreateWithFlags(&event, cudaEventDefault)) &&
      note("cudaStreamCreateWithFlags", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking))) {
    if (has_device && has_host) {
      note("cudaMemcpyAsync", cudaMemcpyAsync(device, host, 64, cudaMemcpyHostToDevice, stream));
      note("cudaMemsetAsync", cudaMemsetAsync(device, 0, 64, stream));
      append_digit(stream, device, 1);
      note("kernel_launch", cudaGetLastError());
    }
    if (note("cudaStreamBeginCapture", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal)) &&
        note("cudaStreamEndCapture", cudaStreamEndCapture(stream, &graph))) {
      if (note("cudaGraphInstantiate", cudaGraphInstantiate(&executable, graph))) {
        note("cudaGraphLaunch", cudaGraphLaunch(executable, stream));
        note("cudaStreamSynchronize", cudaStreamSynchronize(stream));
        static_cast<void>(cudaStreamSynchronize(stream));  // should the first have failed
        note("cudaGraphExecDestroy", cudaGraphExecDestroy(executable));
      }
      note("cudaGraphDestroy", cudaGraphDestroy(graph));
    }
    const bool recorded = note("cudaEventRecord", cudaEventRecord(event, stream));
    note("cudaStreamWaitEvent", cudaStreamWaitEvent(stream, event));
    note("cudaEventSynchronize", cudaEventSynchronize(event));
    note("cudaStreamSynchronize", cudaStreamSynchronize(stream));
    note("cudaDeviceSynchronize", cudaDeviceSynchronize());
    note("cudaEventQuery", cudaEventQuery(event));
    note("cudaStreamQuery", cudaStreamQuery(stream));
    float milliseconds = 0;
    if (recorded) note("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, event, event));
    note("cudaStreamDestroy", cudaStreamDestroy(stream));
  }
  if (event != nullptr) note("cudaEventDestroy", cudaEventDestroy(event));
  if (has_device) note("cudaFree", cudaFree(device));
  if (has_host) note("cudaFreeHost", cudaFreeHost(host));
  return results;
}

TEST_F(FaultTest, EachCallFailsOnceIfAsked) {
  const auto good = call_everything();
  for (const auto& [call, result] : good) EXPECT_EQ(result, cudaSuccess) << call;
  EXPECT_GE(good.size(), 33U);
  for (const auto& [call, result] : good) {
    SCOPED_TRACE(call);
    // A capture that cannot be ended leaves a stream that cannot be destroyed.
    if (call == "cudaStreamEndCapture") continue;
    configure("fail=" + call + ":1");
    const auto results = call_everything();
    for (const auto& [other, error] : results) EXPECT_EQ(error != cudaSuccess, other == call) << other;
    static_cast<void>(cudaGetLastError());
    configure("");
    EXPECT_TRUE(live_handles().empty());
  }
}

TEST_F(FaultTest, TheOneThatIsNamedFails) {
  configure("fail=cudaMalloc:2,fail=cudaMalloc:4,fail=cudaSetDevice:1");
  int* block = nullptr;
  for (int i = 1; i <= 5; ++i) {
    const cudaError_t result = cudaMalloc(&block, 4);
    EXPECT_EQ(result, i % 2 == 0 ? cudaErrorMemoryAllocation : cudaSuccess) << i;
    if (result == cudaSuccess) expect_success(cudaFree(block));
  }
  EXPECT_EQ(cudaSetDevice(0), cudaErrorUnknown);
  EXPECT_EQ(calls("cudaMalloc"), 5);
  EXPECT_EQ(call_counts().at("cudaFree"), 3);
}

TEST_F(FaultTest, AFailedDeviceStaysFailed) {
  configure("seed=0,fail=operation:2");
  cudaStream_t stream = nullptr;
  int* block = nullptr;
  expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  expect_success(cudaMalloc(&block, 4));
  for (int i = 0; i < 3; ++i) expect_success(cudaMemsetAsync(block, 0, 4, stream));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaMemsetAsync(block, 0, 4, stream), cudaErrorLaunchFailure);
  EXPECT_TRUE(must_fail("anything else"));
  EXPECT_EQ(cudaFree(block), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorLaunchFailure);
}

TEST_F(FaultTest, MachinesWithoutUsableDevices) {
  int count = -1;
  const auto expect = [&](const char* settings, cudaError_t error, int driver) {
    configure(settings);
    EXPECT_EQ(cudaGetDeviceCount(&count), error) << settings;
    EXPECT_EQ(count, 0);
    EXPECT_EQ(cudaSetDevice(0), error) << settings;
    expect_success(cudaDriverGetVersion(&count));
    EXPECT_EQ(count, driver);
  };
  expect("driver=none", cudaErrorInsufficientDriver, 0);
  expect("driver=12040", cudaErrorInsufficientDriver, 12040);
  expect("devices=0", cudaErrorNoDevice, CUDART_VERSION);
}

TEST_F(FaultTest, DevicesAreToldApart) {
  configure("devices=3");
  ASSERT_EQ(setenv("CUDA_VISIBLE_DEVICES", "2,0,7,1", 1), 0);
  int count = 0;
  expect_success(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 2);  // what follows a number that does not exist is not seen
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  const std::string third = device_uuid(0);
  const std::string first = device_uuid(1);
  unsetenv("CUDA_VISIBLE_DEVICES");
  expect_success(cudaGetDeviceCount(&count));
  EXPECT_EQ(count, 3);
  EXPECT_EQ(device_uuid(0), first);
  EXPECT_EQ(device_uuid(2), third);
  EXPECT_NE(first, third);
  EXPECT_NE(first, device_uuid(1));
}

TEST_F(FaultDeathTest, ACallMayNeverReturn) {
  configure("hang=cudaMalloc:2");
  int* block = nullptr;
  expect_success(cudaMalloc(&block, 4));
  EXPECT_EXIT(
      {
        alarm(1);
        static_cast<void>(cudaMalloc(&block, 4));
      },
      ::testing::KilledBySignal(SIGALRM), "cudaMalloc does not return, as asked");
  expect_success(cudaFree(block));
}

TEST_F(FaultDeathTest, AnOperationMayNeverBeDone) {
  EXPECT_EXIT(
      {
        configure("stall=cudaMemsetAsync:2");
        const TestStream stream;
        const TestStream other;
        const DeviceInts value(2);
        value.clear(stream);
        value.clear(stream);
        append_digit(other, value.data(), 1);
        expect_success(cudaStreamSynchronize(other));
        for (int i = 0; i < 1000; ++i) {
          if (cudaStreamQuery(stream) != cudaErrorNotReady) _exit(1);
        }
        alarm(1);
        static_cast<void>(cudaStreamSynchronize(stream));
      },
      ::testing::KilledBySignal(SIGALRM), "");
}

TEST_F(FaultDeathTest, LeaksAreListedAtTheEnd) {
  const auto leave = [](int status, bool leak) {
    configure("leaks=1");
    int* block = nullptr;
    cudaStream_t stream = nullptr;
    expect_success(cudaMalloc(&block, 4));
    expect_success(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    expect_success(cudaStreamDestroy(stream));
    if (!leak) expect_success(cudaFree(block));
    std::exit(status);
  };
  EXPECT_EXIT(leave(0, true), ::testing::ExitedWithCode(99), "1 of device memory never destroyed");
  EXPECT_EXIT(leave(3, true), ::testing::ExitedWithCode(3), "1 of device memory never destroyed");
  EXPECT_EXIT(leave(0, false), ::testing::ExitedWithCode(0), "^$");
}

TEST_F(FaultDeathTest, SettingsAreChecked) {
  EXPECT_DEATH(configure("sed=7"), "unknown key 'sed'");
  EXPECT_DEATH(configure("seed=x"), "seed must be a number, found 'x'");
  EXPECT_DEATH(configure("fail=cudaMalloc"), "fail needs CALL:NUMBER");
  EXPECT_DEATH(configure("seed"), "is not KEY=VALUE");
}

}  // namespace
}  // namespace lockstep::standin
