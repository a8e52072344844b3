#include "device/cuda/device_facts.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "base/error.h"
#include "device/cuda/error.h"
#include "device/cuda/handles.h"
#include "device/cuda/kernels/probe.h"

namespace lockstep::device {
namespace cuda {
namespace {

/// "GPU-" and a UUID, as nvidia-smi writes it.
std::string text(const cudaUUID_t& uuid) {
  std::string result = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) result += '-';
    result += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return result;
}

/// Why there are no devices at all, as cudaGetDeviceCount says it: with no driver, and with one that is too
/// old.
[[noreturn]] void fail_for_driver() {
  static_cast<void>(cudaGetLastError());
  int driver = 0;  // stays 0 where none is installed
  call(cudaDriverGetVersion(&driver), "cudaDriverGetVersion", ExitCode::no_device);
  if (driver == 0)
    fail(ExitCode::no_device,
         "device.kind=cuda needs NVIDIA's driver, and this machine has none: install it, or use "
         "device.kind=cpu");
  int runtime = 0;
  call(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion", ExitCode::no_device);
  fail(ExitCode::no_device,
       "NVIDIA's driver on this machine is too old: it knows CUDA up to {}, and this program was built with "
       "CUDA {}: install a newer driver, or build with an older CUDA toolkit",
       version_text(driver), version_text(runtime));
}

// Does not make the device current: that would take hundreds of megabytes of each device for each rank.
DeviceFacts facts_of(int index) {
  cudaDeviceProp properties = {};
  call(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties", ExitCode::no_device);
  return {.index = index,
          .name = properties.name,
          .unique_id = text(properties.uuid),
          .architecture = fmt::format("{}.{}", properties.major, properties.minor),
          .board = fmt::format("{:04x}:{:02x}:{:02x}.0", properties.pciDomainID, properties.pciBusID,
                               properties.pciDeviceID),
          .memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem),
          .free_bytes = 0,
          .peers = {}};
}

std::vector<int> peers_of(int index, int count) {
  std::vector<int> peers;
  for (int other = 0; other < count; ++other) {
    if (other == index) continue;
    int reaches = 0;
    call(cudaDeviceCanAccessPeer(&reaches, index, other), "cudaDeviceCanAccessPeer", ExitCode::no_device);
    if (reaches != 0) peers.push_back(other);
  }
  return peers;
}

}  // namespace

void start_device(DeviceFacts& facts) {
  call(cudaSetDevice(facts.index), "cudaSetDevice", ExitCode::no_device);
  std::size_t free = 0;
  std::size_t total = 0;
  call(cudaMemGetInfo(&free, &total), "cudaMemGetInfo", ExitCode::no_device);
  facts.free_bytes = static_cast<std::int64_t>(free);

  cudaStream_t created = nullptr;
  call(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking), "cudaStreamCreateWithFlags",
       ExitCode::no_device);
  const StreamHandle stream(created);
  const cudaError_t status = probe(stream.get());
  if (status == cudaErrorNoKernelImageForDevice)
    fail(ExitCode::no_device,
         "this program has no kernels for GPU {} ({}, architecture {}): build with that architecture in "
         "-DLOCKSTEP_CUDA_ARCHITECTURES",
         facts.index, facts.name, facts.architecture);
  call(status, "launch of a kernel", ExitCode::no_device);
  call(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize", ExitCode::no_device);
}

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace cuda

std::vector<DeviceFacts> visible_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) cuda::fail_for_driver();
  if (status == cudaErrorNoDevice) {
    static_cast<void>(cudaGetLastError());
    return {};
  }
  cuda::call(status, "cudaGetDeviceCount", ExitCode::no_device);
  std::vector<DeviceFacts> devices;
  for (int index = 0; index < count; ++index) {
    devices.push_back(cuda::facts_of(index));
    devices.back().peers = cuda::peers_of(index, count);
  }
  return devices;
}

std::string accelerator_driver() {
  int version = 0;
  cuda::call(cudaDriverGetVersion(&version), "cudaDriverGetVersion", ExitCode::no_device);
  return version == 0 ? "" : cuda::version_text(version);
}

}  // namespace lockstep::device
