#include "comm/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/unique_handle.h"

namespace lockstep::comm {
namespace {

struct FileTraits {
  using Type = int;
  static Type null() { return -1; }
  static void close(Type file) noexcept { ::close(file); }
};
using File = UniqueHandle<FileTraits>;

/// How other processes find a segment, and know that they found the right one.
struct Address {
  std::int64_t bytes = 0;  ///< 0: there is none
  std::int64_t process = 0;
  std::int64_t file = 0;
  std::uint64_t token = 0;

  [[nodiscard]] std::string path() const { return fmt::format("/proc/{}/fd/{}", process, file); }
  [[nodiscard]] std::string name() const { return fmt::format("lockstep-{:016x}", token); }
};

[[noreturn]] void fail_with(int error, std::string_view what, std::string_view advice = "") {
  fail(ExitCode::internal, "{}: {}{}", what, std::strerror(error), advice);
}

[[noreturn]] void fail_to_reserve(int error, std::int64_t bytes) {
  fail_with(error, fmt::format("cannot reserve {} bytes of shared memory", bytes),
            error == EFBIG ? " (the limit on file sizes, ulimit -f, holds for it too)" : "");
}

std::uint64_t random_token() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

/// Looked at before a file is made, since the kernel would send SIGXFSZ, which ends a process by default.
bool exceeds_file_size_limit(std::int64_t bytes) {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && static_cast<rlim_t>(bytes) > limit.rlim_cur;
}

/// An anonymous file of zeros, all of it reserved.
File make_file(const std::string& name, std::int64_t bytes) {
  if (exceeds_file_size_limit(bytes)) fail_to_reserve(EFBIG, bytes);
  File file(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!file) fail_with(errno, "memfd_create");
  int error = EINTR;  // signals such as USR1 may arrive at any time
  while (error == EINTR) error = posix_fallocate(file.get(), 0, bytes);
  if (error != 0) fail_to_reserve(error, bytes);
  return file;
}

/// Another rank's file. Two hosts may have one name, and two containers one host: then the path is absent or
/// names some other file, which the token tells apart before anything is opened.
File open_file(const Address& address) {
  const std::string path = address.path();
  std::array<char, 64> target{};
  if (readlink(path.c_str(), target.data(), target.size() - 1) < 0)
    fail_with(errno, "cannot read the link " + path);
  if (!std::string_view(target.data()).starts_with("/memfd:" + address.name()))
    fail_with(ESTALE, fmt::format("{} belongs to another process; are all ranks on one host?", path));
  File file(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file) fail_with(errno, "cannot open " + path);
  return file;
}

}  // namespace

Mapping::Mapping(int file, std::int64_t bytes) : size_(static_cast<std::size_t>(bytes)) {
  void* address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (address == MAP_FAILED)
    fail_with(errno, fmt::format("cannot map {} bytes of shared memory", bytes),
              " (a limit on address space, ulimit -v, must leave room for what all ranks of the host share)");
  data_ = static_cast<std::byte*>(address);
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

SharedMemory::SharedMemory(World& world, std::span<const int> ranks, std::int64_t bytes)
    : segments_(static_cast<std::size_t>(world.size())) {
  const auto own = static_cast<std::size_t>(world.rank());
  File file;
  Address address{.bytes = bytes};
  world.agree([&] {
    if (bytes == 0) return;
    address.token = random_token();
    file = make_file(address.name(), bytes);
    address.process = getpid();
    address.file = file.get();
    segments_[own] = Mapping(file.get(), bytes);
  });

  std::vector<Address> addresses(segments_.size());
  world.all_gather_into(std::as_bytes(std::span(&address, 1)), std::as_writable_bytes(std::span(addresses)));
  // agree() returns when every rank has opened every file: from then on none needs its own open.
  world.agree([&] {
    for (const int other : ranks) {
      const auto rank = static_cast<std::size_t>(other);
      const Address& theirs = addresses[rank];
      if (rank != own && theirs.bytes > 0) segments_[rank] = Mapping(open_file(theirs).get(), theirs.bytes);
    }
  });
}

}  // namespace lockstep::comm
