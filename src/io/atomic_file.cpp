#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/fault.h"

namespace lockstep::io {
namespace {

namespace fs = std::filesystem;

/// The file that a write to `path` ends up in. Error(cannot_create) when that cannot be a regular file.
fs::path resolve(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  switch (status.type()) {
    case fs::file_type::regular:
      return fs::canonical(path);
    case fs::file_type::not_found:
      if (fs::is_symlink(fs::symlink_status(path, error)))
        fail(ExitCode::cannot_create,
             "cannot create '{}': it is a symbolic link to a file that does not exist", path.string());
      return path;
    case fs::file_type::none:
      fail(ExitCode::cannot_create, "cannot create '{}': {}", path.string(), error.message());
    case fs::file_type::directory:
      fail(ExitCode::cannot_create, "cannot create '{}': it is a folder", path.string());
    default:
      fail(ExitCode::cannot_create, "cannot create '{}': it exists and is not a regular file", path.string());
  }
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

[[noreturn]] void fail_to_create(const fs::path& path, int error) {
  if (error == ENOSPC || error == EDQUOT || error == EIO)
    fail(ExitCode::io_error, "cannot write '{}': {}", path.string(), std::strerror(error));
  if (error == ENOENT)
    fail(ExitCode::cannot_create, "cannot create '{}': the folder '{}' does not exist", path.string(),
         folder_of(path).string());
  if (error == ENOTDIR)
    fail(ExitCode::cannot_create, "cannot create '{}': '{}' is not a folder", path.string(),
         folder_of(path).string());
  fail(ExitCode::cannot_create, "cannot create '{}': {}", path.string(), std::strerror(error));
}

/// write(2), but for a fault on purpose.
ssize_t write_some(int descriptor, std::span<const std::byte> bytes) {
  if (fault::take_io_error()) {
    errno = ENOSPC;
    return -1;
  }
  return ::write(descriptor, bytes.data(), bytes.size());
}

}  // namespace

void sync(const fs::path& path) {
  const FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // Some file systems cannot sync a folder (EINVAL); there a rename is as lasting as it gets.
  if (!descriptor || (::fsync(descriptor.get()) != 0 && errno != EINVAL))
    fail(ExitCode::io_error, "cannot sync '{}': {}", path.string(), std::strerror(errno));
}

void write_all(int descriptor, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = write_some(descriptor, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(ExitCode::io_error, "cannot write '{}': {}", path.string(), std::strerror(errno));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), target_(resolve(path_)) {
  // Another host may use the same folder and the same process id: never open a file that exists.
  constexpr int most_attempts = 1000;
  const std::string base = target_.string() + std::string(partial_marker) + std::to_string(::getpid());
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    partial_ = attempt == 0 ? base : base + "-" + std::to_string(attempt);
    descriptor_.reset(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (descriptor_) return;
    if (errno != EEXIST) fail_to_create(path_, errno);
  }
  fail_to_create(path_, EEXIST);
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  check(static_cast<bool>(descriptor_), "an atomic file is written before its commit");
  write_all(descriptor_.get(), bytes, path_);
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void AtomicFile::commit() {
  check(static_cast<bool>(descriptor_), "an atomic file is committed once");
  if (::fsync(descriptor_.get()) != 0)
    fail(ExitCode::io_error, "cannot write '{}': {}", path_.string(), std::strerror(errno));
  if (::rename(partial_.c_str(), target_.c_str()) != 0) fail_to_create(path_, errno);
  descriptor_.reset();
  sync(folder_of(target_));
}

void AtomicFile::discard() noexcept {
  if (!descriptor_) return;
  // Truncated first: a library that still holds the file open would keep its blocks until the process ends.
  if (::ftruncate(descriptor_.get(), 0) != 0 || ::unlink(partial_.c_str()) != 0)
    log::warning("cannot remove '{}': {}", partial_.string(), std::strerror(errno));
  descriptor_.reset();
}

void write_file(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace lockstep::io
