#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "api.h"
#include "launch_impl.h"
#include "runtime.h"

namespace lockstep::standin {

namespace {

std::string readable(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
  return name ? name.get() : type.name();
}

}  // namespace

void enqueue_kernel(cudaStream_t stream, const std::type_info& kernel, std::function<void()> work) {
  if (fails_on_purpose("kernel_launch")) {
    report(cudaErrorLaunchOutOfResources);
    return;
  }
  const auto lock = enter();
  if (device_has_failed()) {
    report(cudaErrorLaunchFailure);
    return;
  }
  enqueue(stream, readable(kernel), {}, std::move(work));
}

Sweep::Sweep(std::int64_t n) : n_(n), order_(static_cast<Order>(draw() % 4)) {}

SharedMemory::SharedMemory(std::size_t bytes)
    : bytes_(bytes), memory_(static_cast<std::byte*>(::operator new(bytes, std::align_val_t{256}))) {}

SharedMemory::~SharedMemory() {
  ::operator delete(memory_, std::align_val_t{256});
}

std::byte* SharedMemory::renew() const {
  poison(memory_, bytes_);
  return memory_;
}

void check_launch_shape(std::int64_t blocks, int threads, std::size_t shared_bytes) {
  if (blocks < 1 || blocks > 0x7FFFFFFF)
    violation("a kernel has 1 to 2^31 - 1 blocks, not " + std::to_string(blocks));
  if (threads < 1 || threads > 1024)
    violation("a block has 1 to 1024 threads, not " + std::to_string(threads));
  if (shared_bytes > 48 * 1024) {
    violation("a block has at most 48 KiB of shared memory, not " + std::to_string(shared_bytes) + " bytes");
  }
}

}  // namespace lockstep::standin
