#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "api.h"
#include "scheduler.h"
#include "settings.h"

namespace lockstep::standin {
namespace {

thread_local int device_of_thread = 0;

/// Numbers of the host's devices, in the order in which this process sees them: CUDA_VISIBLE_DEVICES is a
/// list of numbers here, and ends at the first that does not exist.
std::vector<int> visible_devices() {
  std::vector<int> devices;
  const char* listed = std::getenv("CUDA_VISIBLE_DEVICES");
  if (listed == nullptr) {
    for (int i = 0; i < settings().devices; ++i) devices.push_back(i);
    return devices;
  }
  std::string_view rest = listed;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    int number = -1;
    const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), number);
    if (error != std::errc{} || end != item.data() + item.size()) break;
    if (number < 0 || number >= settings().devices) break;
    devices.push_back(number);
  }
  return devices;
}

bool exists(int device) {
  return device >= 0 && device < static_cast<int>(visible_devices().size());
}

/// 16 bytes that follow from the number of the device on its host.
cudaUUID_t uuid_of(int device) {
  cudaUUID_t uuid = {};
  auto value = static_cast<std::uint64_t>(visible_devices().at(static_cast<std::size_t>(device)) + 1);
  for (char& byte : uuid.bytes) {
    value = value * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<char>(value >> 56U);
  }
  return uuid;
}

}  // namespace

int current_device() {
  return device_of_thread;
}

std::string device_uuid(int device) {
  const cudaUUID_t uuid = uuid_of(device);
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

}  // namespace lockstep::standin

using namespace lockstep::standin;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return api("cudaGetDeviceCount", cudaErrorInitializationError, [&] {
    *count = static_cast<int>(visible_devices().size());
    return *count == 0 ? cudaErrorNoDevice : cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api("cudaSetDevice", cudaErrorUnknown, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    device_of_thread = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api("cudaGetDevice", cudaErrorUnknown, [&] {
    *device = device_of_thread;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  return api("cudaGetDeviceProperties", cudaErrorUnknown, [&] {
    if (!exists(device)) return cudaErrorInvalidDevice;
    *prop = {};
    std::strncpy(prop->name, "Stand-in GPU", sizeof prop->name - 1);
    prop->uuid = uuid_of(device);
    prop->totalGlobalMem = Memory::total_bytes();
    prop->sharedMemPerBlock = 48 * 1024;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = 1024;
    prop->major = settings().hopper ? 9 : 8;
    prop->minor = 0;
    prop->multiProcessorCount = 4;
    prop->pciBusID = settings().one_board ? 1 : visible_devices().at(static_cast<std::size_t>(device)) + 1;
    prop->l2CacheSize = 1 << 20;
    prop->unifiedAddressing = 1;
    prop->ECCEnabled = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* canAccessPeer, int device, int peerDevice) {
  return api("cudaDeviceCanAccessPeer", cudaErrorUnknown, [&] {
    if (!exists(device) || !exists(peerDevice)) return cudaErrorInvalidDevice;
    *canAccessPeer = device == peerDevice ? 0 : 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", cudaErrorUnknown, [&] {
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    Scheduler::instance().finish_device(device_of_thread);
    return device_has_failed() ? cudaErrorLaunchFailure : cudaSuccess;
  });
}

cudaError_t cudaDriverGetVersion(int* driverVersion) {
  if (fails_on_purpose("cudaDriverGetVersion")) return report(cudaErrorUnknown);
  const std::string& driver = settings().driver;
  *driverVersion = driver.empty() ? CUDART_VERSION : std::atoi(driver.c_str());  // 0 where there is none
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* runtimeVersion) {
  if (fails_on_purpose("cudaRuntimeGetVersion")) return report(cudaErrorUnknown);
  *runtimeVersion = CUDART_VERSION;
  return cudaSuccess;
}

}  // extern "C"
