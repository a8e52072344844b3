#include <cstring>
#include <string>

#include "api.h"
#include "objects.h"

using namespace lockstep::standin;

namespace {

/// The real runtime takes pageable memory too, and then may wait for the stream, without a word.
void check_direction(const void* dst, const void* src, std::size_t count, cudaMemcpyKind kind) {
  const Memory& memory = Memory::instance();
  const bool from_device = memory.is_device(src);
  const bool to_device = memory.is_device(dst);
  if ((!from_device && !memory.is_pinned(src, count)) || (!to_device && !memory.is_pinned(dst, count))) {
    violation("cudaMemcpyAsync: host memory must be page-locked, or the copy may wait for the stream");
  }
  const cudaMemcpyKind actual = from_device ? (to_device ? cudaMemcpyDeviceToDevice : cudaMemcpyDeviceToHost)
                                            : (to_device ? cudaMemcpyHostToDevice : cudaMemcpyHostToHost);
  if (kind != cudaMemcpyDefault && kind != actual) violation("cudaMemcpyAsync: the direction is wrong");
  const auto* a = static_cast<const std::byte*>(dst);
  const auto* b = static_cast<const std::byte*>(src);
  if (a < b + count && b < a + count) violation("cudaMemcpyAsync: source and target overlap");
}

}  // namespace

extern "C" {

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api("cudaMemGetInfo", cudaErrorUnknown, [&] {
    *free = Memory::instance().free_bytes(current_device());
    *total = Memory::instance().total_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  return api("cudaMalloc", cudaErrorMemoryAllocation, [&] {
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    *devPtr = size == 0 ? nullptr : Memory::instance().allocate(current_device(), size);
    return size > 0 && *devPtr == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaFree(void* devPtr) {
  return destroying_api("cudaFree", [&] {
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    if (devPtr != nullptr) Memory::instance().free(devPtr);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** pHost, size_t size, unsigned int flags) {
  return api("cudaHostAlloc", cudaErrorMemoryAllocation, [&] {
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    if ((flags & ~static_cast<unsigned>(cudaHostAllocPortable | cudaHostAllocMapped |
                                        cudaHostAllocWriteCombined)) != 0) {
      return cudaErrorInvalidValue;
    }
    *pHost = size == 0 ? nullptr : Memory::instance().allocate_pinned(size);
    return size > 0 && *pHost == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* ptr) {
  return destroying_api("cudaFreeHost", [&] {
    if (const cudaError_t refusal = refuse_while_capturing(); refusal != cudaSuccess) return refusal;
    if (ptr != nullptr) Memory::instance().free_pinned(ptr);
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return api("cudaMemcpyAsync", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaMemcpyAsync");
    if (count == 0) return cudaSuccess;
    check_direction(dst, src, count, kind);
    return queue(stream, {"cudaMemcpyAsync",
                          {{dst, count, true}, {src, count, false}},
                          [=] { std::memcpy(dst, src, count); },
                          nullptr});
  });
}

cudaError_t cudaMemsetAsync(void* devPtr, int value, size_t count, cudaStream_t stream) {
  return api("cudaMemsetAsync", cudaErrorUnknown, [&] {
    check_stream(stream, "cudaMemsetAsync");
    if (count == 0) return cudaSuccess;
    return queue(
        stream,
        {"cudaMemsetAsync", {{devPtr, count, true}}, [=] { std::memset(devPtr, value, count); }, nullptr});
  });
}

}  // extern "C"
