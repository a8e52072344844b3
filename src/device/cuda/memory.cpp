#include "device/cuda/memory.h"

#include <cuda_runtime.h>
#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda/error.h"

namespace lockstep::device::cuda {
namespace {

class DeviceMemory final : public Memory {
 public:
  DeviceMemory(void* data, std::int64_t bytes) : Memory(static_cast<std::byte*>(data), bytes) {}
  ~DeviceMemory() override { note(cudaFree(data()), "cudaFree"); }
};

class PinnedMemory final : public Memory {
 public:
  PinnedMemory(void* data, std::int64_t bytes) : Memory(static_cast<std::byte*>(data), bytes) {}
  ~PinnedMemory() override { note(cudaFreeHost(data()), "cudaFreeHost"); }
};

class NoMemory final : public Memory {
 public:
  NoMemory() : Memory(nullptr, 0) {}
};

std::string mebibytes(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

std::unique_ptr<Memory> allocate_device_memory(int device, std::int64_t bytes) {
  check(bytes >= 0, "memory has a size");
  if (bytes == 0) return std::make_unique<NoMemory>();
  use_device(device);
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, static_cast<std::size_t>(bytes));
  if (status == cudaErrorMemoryAllocation)
    fail_for_room("CUDA", "cudaMalloc", mebibytes(static_cast<std::size_t>(bytes)));
  call(status, "cudaMalloc");
  return std::make_unique<DeviceMemory>(data, bytes);
}

void fail_for_room(std::string_view library, std::string_view function, std::string_view what) {
  static_cast<void>(cudaGetLastError());
  int device = 0;
  call(cudaGetDevice(&device), "cudaGetDevice");
  std::size_t free = 0;
  std::size_t total = 0;
  call(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  fail(ExitCode::internal,
       "{}: {} failed: device {} has no room for {}: {} of its {} are free. Keep the samples in the host's "
       "memory (device.data=host), use fewer device.branches, a smaller training.batch, or more ranks with a "
       "device each",
       library, function, device, what, mebibytes(free), mebibytes(total));
}

std::unique_ptr<Memory> allocate_pinned_memory(int device, std::int64_t bytes) {
  check(bytes >= 0, "memory has a size");
  if (bytes == 0) return std::make_unique<NoMemory>();
  use_device(device);
  void* data = nullptr;
  // Portable: whatever device copies from it.
  call(cudaHostAlloc(&data, static_cast<std::size_t>(bytes), cudaHostAllocPortable), "cudaHostAlloc");
  return std::make_unique<PinnedMemory>(data, bytes);
}

}  // namespace lockstep::device::cuda
