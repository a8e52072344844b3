#include "io/gzip_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lockstep::io {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 18U;

std::size_t read_some(int descriptor, std::span<std::byte> out, const std::filesystem::path& path) {
  for (;;) {
    const ssize_t count = ::read(descriptor, out.data(), out.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) fail(ExitCode::no_input, "cannot read '{}': {}", path.string(), std::strerror(errno));
  }
}

std::int64_t size_of_open_file(int descriptor) {
  struct stat status{};
  return ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
}

bool begins_as_gzip(int descriptor) {
  std::array<unsigned char, 2> magic{};
  return ::pread(descriptor, magic.data(), magic.size(), 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

/// For a relative path, the folder that it starts from.
std::string place_of_search(const std::filesystem::path& path) {
  std::error_code unknown;  // a folder that is gone has no name
  const auto folder = std::filesystem::current_path(unknown);
  return path.is_absolute() || unknown ? "" : fmt::format(" in '{}'", folder.string());
}

}  // namespace

FileDescriptor open_input(const std::filesystem::path& path, std::string_view advice) {
  struct stat status{};
  // O_NONBLOCK: a pipe without a writer must not block before it is refused.
  FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor || ::fstat(descriptor.get(), &status) != 0) {
    if (errno == ENOENT)
      fail(ExitCode::no_input, "cannot read '{}': no such file{}{}", path.string(), place_of_search(path),
           advice);
    fail(ExitCode::no_input, "cannot read '{}': {}", path.string(), std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode)) fail(ExitCode::no_input, "cannot read '{}': it is a folder", path.string());
  if (!S_ISREG(status.st_mode))
    fail(ExitCode::no_input, "cannot read '{}': it is not a regular file", path.string());
  return descriptor;
}

/// The unpacking side: stored bytes wait in a buffer.
class GzipFile::Inflater {
 public:
  explicit Inflater(GzipFile& file) : file_(file), buffer_(buffer_bytes) {
    constexpr int gzip_only = 16;
    if (inflateInit2(&stream_, gzip_only + MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  std::size_t read(std::span<std::byte> out) {
    std::size_t filled = 0;
    while (filled < out.size() && !finished_) filled += step(out.subspan(filled));
    return filled;
  }

 private:
  bool refill() {
    if (stream_.avail_in > 0) return true;
    const std::size_t count = file_.read_stored(buffer_);
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(count);
    return count > 0;
  }

  std::size_t step(std::span<std::byte> out) {
    if (!refill()) {
      if (!between_members_)
        fail(ExitCode::bad_data, "'{}' is cut off: the gzip data end too early; fetch it again", name());
      finished_ = true;
      return 0;
    }
    if (between_members_ && members_ > 0 && stream_.next_in[0] != 0x1f)
      fail(ExitCode::bad_data, "'{}' has other bytes after its gzip data; fetch it again", name());
    between_members_ = false;
    const auto room = static_cast<uInt>(std::min(out.size(), std::size_t{1} << 30U));
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = room;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_STREAM_END) {
      ++members_;
      between_members_ = true;
      inflateReset(&stream_);
    } else if (status == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      fail(ExitCode::bad_data, "'{}' is damaged: {}; fetch it again", name(),
           stream_.msg != nullptr ? stream_.msg : "not a gzip file");
    }
    return room - stream_.avail_out;
  }

  [[nodiscard]] std::string name() const { return file_.path_.string(); }

  GzipFile& file_;
  std::vector<std::byte> buffer_;
  z_stream stream_{};
  int members_ = 0;  // complete ones
  bool between_members_ = true;
  bool finished_ = false;
};

GzipFile::GzipFile(std::filesystem::path path)
    : path_(std::move(path)),
      descriptor_(open_input(path_)),
      stored_bytes_(size_of_open_file(descriptor_.get())) {
  if (begins_as_gzip(descriptor_.get())) inflater_ = std::make_unique<Inflater>(*this);
}

GzipFile::~GzipFile() = default;

std::int64_t GzipFile::most_bytes() const {
  constexpr std::int64_t most_ratio = 1032;  // of deflate: 258 bytes from two bits
  return compressed() ? stored_bytes_ * most_ratio : stored_bytes_;
}

std::size_t GzipFile::read_stored(std::span<std::byte> out) {
  const std::size_t count = read_some(descriptor_.get(), out, path_);
  hasher_.update(out.first(count));
  return count;
}

std::size_t GzipFile::read(std::span<std::byte> out) {
  if (inflater_) return inflater_->read(out);
  std::size_t filled = 0;
  while (filled < out.size()) {
    const std::size_t count = read_stored(out.subspan(filled));
    if (count == 0) break;
    filled += count;
  }
  return filled;
}

std::string hash_file(const std::filesystem::path& path) {
  const FileDescriptor descriptor = open_input(path);
  std::vector<std::byte> buffer(buffer_bytes);
  Hasher hasher;
  while (const std::size_t count = read_some(descriptor.get(), buffer, path))
    hasher.update(std::span(buffer).first(count));
  return hasher.text();
}

}  // namespace lockstep::io
